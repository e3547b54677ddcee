"""How tensors must lie in memory for our kernels."""

from __future__ import annotations

from torch import Tensor


def rowwise(x: Tensor) -> Tensor:
    """x [..., head_dim], or a copy of it, whose rows are in one piece each."""
    return x if x.stride(-1) == 1 else x.contiguous()


def check_frames(name: str, x: Tensor) -> None:
    """Raise ValueError unless the frames of x [B, heads, frames, tokens, head_dim] lie side by side."""
    tokens, head_dim = x.shape[3:]
    if x.stride()[2:] != (tokens * head_dim, head_dim, 1):
        raise ValueError(
            f"{name} have strides {list(x.stride())}, but each frame's {tokens} x {head_dim} numbers must stand in "
            f"one piece, and frames side by side: pass a view of the cache, or a contiguous copy."
        )
