"""Sparse attention over chosen memory frames (SMA): by a gathered copy, or by a Triton kernel that reads in place.

An implementation is given a stretch of latent frames as views of the cache. Each head reads its chosen memory frames
and the whole window; `topk_naive.topk_attention` defines the result. Which one is fastest depends on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ..model import AttentionBackend

if TYPE_CHECKING:
    from .topk_triton import Tiling

PartialAttention = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""An attention backend that returns the log-sum-exp of its logits too, [B, heads, L] float32."""


class SparseAttention(Protocol):
    """Attention over the chosen memory frames and the window: -> [B, heads, L, head_dim].

    q [B, heads, L, head_dim]; keys and values [B, heads, frames, tokens, head_dim], of which the first `memory` frames
    are sink and bank and the rest the window; chosen [B, heads, k] int64, the memory frames that each head reads.
    """

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, memory: int) -> Tensor: ...


class GatherAttention:
    """Copies the frames that are read side by side, then attends to the copy with `backend`.

    The copies go into two buffers that are kept: new memory in each layer would take longer than the copying.
    """

    def __init__(self, backend: AttentionBackend):
        self.backend = backend
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._places: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, memory: int) -> Tensor:
        batch, heads, frames, tokens, head_dim = keys.shape
        shape = (batch, heads, (chosen.shape[-1] + frames - memory) * tokens, head_dim)
        if self._buffers is None or self._buffers[0].shape != shape:
            self._buffers = keys.new_empty(shape), values.new_empty(shape)
        rows = self._rows(keys, chosen, memory)
        rows_v = rows if values.stride() == keys.stride() else self._rows(values, chosen, memory)
        for x, read, buffer in zip((keys, values), (rows, rows_v), self._buffers, strict=True):
            torch.index_select(_frame_rows(x), 0, read, out=buffer.view(read.shape[0], -1))
        return self.backend(q, *self._buffers)

    def _rows(self, x: Tensor, chosen: Tensor, memory: int) -> Tensor:
        """Numbers of the rows of `_frame_rows(x)` that are read, [B * heads * (k + window)] int64."""
        batch, heads, count = chosen.shape
        frames = x.shape[2]
        layout = x.stride(0) // x.stride(2), x.stride(1) // x.stride(2), frames, memory, count
        if layout not in self._places:
            item = torch.arange(batch, device=x.device)[:, None, None] * layout[0]
            head = torch.arange(heads, device=x.device)[:, None] * layout[1]
            frame = torch.arange(memory - count, frames, device=x.device)
            frame[:count] = 0  # to which the chosen frames are added
            self._places[layout] = item + head + frame
        rows = self._places[layout].clone()
        rows[..., :count].add_(chosen)
        return rows.flatten()


def _frame_rows(x: Tensor) -> Tensor:
    """View x [B, heads, frames, tokens, head_dim], and what lies between its frames in memory, as one row a frame."""
    step = x.stride(2)
    last = sum((size - 1) * stride // step for size, stride in zip(x.shape[:3], x.stride(), strict=False))
    return x.as_strided((last + 1, x.shape[3] * x.shape[4]), (step, 1))


class TritonAttention:
    """Reads every frame in its slot, in one Triton kernel. For a GPU, or Triton's interpreter.

    tiling   the kernel's tiling; None: its first choice.
    window   attends to the window first, where it is faster at that than the kernel is: the kernel then goes on from
             its result (attention split in two, merged by log-sum-exp). None: the kernel reads the window too.

    Raises ValueError where Triton is not installed.
    """

    def __init__(self, tiling: Tiling | None = None, window: PartialAttention | None = None):
        if find_spec("triton") is None:
            raise ValueError("the fused memory reader needs the package triton: install it, or choose gather.")
        from .topk_triton import topk_attention

        self._kernel = topk_attention
        self._tiling = tiling
        self._window = window

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, memory: int) -> Tensor:
        partial = None
        if self._window is not None and memory < keys.shape[2]:
            partial = self._window(q, keys[:, :, memory:].flatten(2, 3), values[:, :, memory:].flatten(2, 3))
            keys, values = keys[:, :, :memory], values[:, :, :memory]
        return self._kernel(q, keys, values, chosen, memory, partial, self._tiling)
