"""Three-dimensional rotary positions of Wan 2.1 (time, row, column)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .functional import widest

THETA = 10000.0


def _axis_frequencies(pairs: int, device: torch.device) -> Tensor:
    """theta^(-j/pairs) for j in 0..pairs-1, in float64."""
    exponent = torch.arange(pairs, dtype=widest(device), device=device) / max(pairs, 1)
    return THETA**-exponent


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines side by side: table float32 [..., frames, tokens, head_dim / 2, 2]."""

    table: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """Rotate the interleaved pairs of x [..., frames, tokens, head_dim]; the result keeps x's dtype."""
        pairs = x.float().unflatten(-1, (-1, 2))
        if torch.compiler.is_compiling() or x.device.type == "mps":
            # in parts, which a compiler makes one kernel of
            (even, odd), (cos, sin) = pairs.unbind(-1), self.table.unbind(-1)
            rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
        else:
            rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(self.table))
        return rotated.flatten(-2).to(x.dtype)

    def apply_(self, x: Tensor) -> Tensor:
        """The same of an x that nobody needs any more: it is overwritten where that is faster."""
        if x.dtype != torch.float32 or x.device.type == "mps" or torch.is_grad_enabled():
            return self.apply(x)
        torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(torch.view_as_complex(self.table))
        return x


class Rope:
    """Rotations for one token grid.

    Of the head_dim / 2 pairs, a third each turn with row and column, the rest with time. Angles are taken in
    float64: in bfloat16 a latent frame index above 256 would not even be a distinct number.
    """

    def __init__(self, head_dim: int, rows: int, columns: int, device: torch.device | str = "cpu"):
        device = torch.device(device)
        pairs = head_dim // 2
        spatial = pairs // 3
        self._time = _axis_frequencies(pairs - 2 * spatial, device)
        axis = _axis_frequencies(spatial, device)
        row = torch.arange(rows, dtype=axis.dtype, device=device)[:, None] * axis
        column = torch.arange(columns, dtype=axis.dtype, device=device)[:, None] * axis
        grid = torch.cat((row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)), dim=-1)
        self._space = grid.flatten(0, 1)  # [tokens, 2 * spatial]

    def at(self, frames: Tensor) -> Rotation:
        """Rotation for latent frames at integer positions `frames` [..., n] -> a table [..., n, tokens, pairs, 2]."""
        time = frames.to(self._time.dtype)[..., None] * self._time
        time = time[..., None, :].expand(*frames.shape, self._space.shape[0], -1)
        angle = torch.cat((time, self._space.expand(*frames.shape, -1, -1)), dim=-1)
        return Rotation(torch.stack((angle.cos(), angle.sin()), dim=-1).float())
