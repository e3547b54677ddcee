"""Rotate a chunk's queries and keys (RoPE) and write keys and values into their cache slots, in one step.

`naive_rope_write` defines the result. A stream takes the fused kernel where it is right and faster on its device
(`rope_writer`), else rotates and writes one after the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from ..config import LatentShape, MemoryConfig, SamplingConfig
from ..model import Backbone, Rope, Rotation
from .autotune import CLOSE, Variants
from .backends import fastest_of, runs_triton

logger = logging.getLogger(__name__)

TRIED_HEADS = 8  # of a layer: what a trial takes beside the model stays small


class RopeWrite(Protocol):
    """Rotate queries and keys of one layer, and write keys and values into their cache slots.

    most_runs  contiguous runs of slots that it can write to at once.
    """

    most_runs: int

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        table: Tensor,
        slots: tuple[Tensor, Tensor],
        runs: Sequence[tuple[int, int, int]],
        *,
        skip: int = 0,
        turn_keys: bool = True,
    ) -> Tensor:
        """Write one layer.

        q          [B, heads, L, head_dim] before RoPE, or no rows of them; may be overwritten where keys are turned.
        k, v       [B, heads, L, head_dim], k before RoPE; k may be overwritten.
        table      float32 [L, head_dim / 2, 2]: `Rotation.table`, over rows.
        slots      the layer's keys and values in the cache, [B, heads, slots, tokens, head_dim] each.
        runs       where frames go that are written, by slot, first frame and length: `SlotLayout.runs`. In their order
                   they take all rows but those that are skipped, and no slot twice.
        skip       how many of the first rows are not written.
        turn_keys  keys are written after RoPE, else as they are.

        Returns q rotated, as q.
        """
        ...


def naive_rope_write(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    table: Tensor,
    slots: tuple[Tensor, Tensor],
    runs: Sequence[tuple[int, int, int]],
    *,
    skip: int = 0,
    turn_keys: bool = True,
) -> Tensor:
    """Define what a `RopeWrite` does: the kernels of torch that a stream runs one after the other."""
    rotation, tokens = Rotation(table), slots[0].shape[3]
    rotated_q = q if not q.shape[2] else rotation.turn_(q).to(q.dtype) if turn_keys else rotation.apply(q)
    # float32 is rounded as it is written
    turned = rotation.turn_(k) if turn_keys else k
    for slot, frame, length in runs:
        rows = slice(skip + frame * tokens, skip + (frame + length) * tokens)
        for to, new in zip(slots, (turned, v), strict=True):
            to[:, :, slot : slot + length] = new[:, :, rows].unflatten(2, (length, tokens))
    return rotated_q


class TritonRopeWrite:
    """One Triton kernel, for a GPU or Triton's interpreter. Raises ValueError where Triton is not installed."""

    def __init__(self) -> None:
        if find_spec("triton") is None:
            raise ValueError("the fused RoPE and cache write needs the package triton: install it.")
        from .rope_write_triton import MOST_RUNS, rope_write

        self.most_runs = MOST_RUNS
        self._kernel = rope_write

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        table: Tensor,
        slots: tuple[Tensor, Tensor],
        runs: Sequence[tuple[int, int, int]],
        *,
        skip: int = 0,
        turn_keys: bool = True,
    ) -> Tensor:
        return self._kernel(q, k, v, table, slots, runs, skip=skip, turn_keys=turn_keys)


def rope_writer(
    backbone: Backbone,
    memory: MemoryConfig,
    sampling: SamplingConfig,
    shape: LatentShape,
    device: torch.device,
    *,
    turn_keys: bool,
) -> RopeWrite | None:
    """How a stream rotates and writes in one step, its keys after RoPE or before it; None: in several.

    That is so with `backbone.dense` "own", with keys in fp8, off a GPU, without Triton, and where the kernel is wrong
    or no faster on this device.
    """
    tried = backbone.dense != "own" and memory.cache != "fp8" and backbone.dtype in CLOSE and backbone.share.count
    if not tried or device.type != "cuda" or not runs_triton(device):
        return None
    heads, tokens = min(backbone.share.count, TRIED_HEADS), (shape.rows // 2, shape.columns // 2)
    size = shape.batch, heads, sampling.chunk_frames, *tokens, backbone.head_dim
    return TritonRopeWrite() if _fastest(device, backbone.dtype, size, turn_keys) == "fused" else None


@cache
def _fastest(device: torch.device, dtype: torch.dtype, size: tuple[int, ...], turn_keys: bool) -> str:
    """The faster one, "plain" or "fused", for a chunk: size is batch, heads, frames, rows, columns, head_dim."""
    batch, heads, frames, rows, columns, head_dim = size

    def at(count: int) -> tuple[Variants, Tensor]:
        written = _trial((batch, heads, count, rows, columns, head_dim), dtype, device, turn_keys)
        return {"plain": partial(written, naive_rope_write), "fused": partial(written, _fused)}, written(
            naive_rope_write
        )

    keys = "turned" if turn_keys else "as they are"
    what = (
        f"RoPE and cache write, with the copies of a trial, keys {keys}, {batch} x {heads} heads of {head_dim}, "
        f"{frames} latent frames of {rows} x {columns}"
    )
    try:
        return fastest_of(what, at, range(1, frames + 1), device)
    except torch.cuda.OutOfMemoryError:
        logger.info("MemFlow: no memory is left for a trial of %s, so it is done in steps.", what)
        return "plain"


def _fused(*given: Any, **how: Any) -> Tensor:
    """The kernel, imported as it is called: an installation of Triton that is broken only loses the trial."""
    return TritonRopeWrite()(*given, **how)


def _trial(
    size: tuple[int, ...], dtype: torch.dtype, device: torch.device, turn_keys: bool
) -> Callable[[Callable[..., Tensor]], Tensor]:
    """Random queries, keys and values in a stream's layout, to be written as its passes write them.

    Returns a function of a way to write, which gives rotated queries and, behind them, all slots, [B, heads, rows,
    head_dim]: of a layer where the ring goes round, and of one that is written without queries and, of several frames,
    without the first.
    """
    batch, heads, frames, rows, columns, head_dim = size
    tokens = rows * columns
    generator = torch.Generator(device).manual_seed(0)
    draw = partial(torch.randn, generator=generator, device=device, dtype=dtype)
    drawn = draw(3, batch, frames * tokens, heads, head_dim).transpose(2, 3)
    table = Rope(head_dim, rows, columns, device).at(torch.arange(frames, device=device) + 7).over_rows().table
    slots = frames + 1
    # keys and values of two layers
    whole = drawn.new_zeros(2, 2, batch, heads, slots, tokens, head_dim)
    last = max(1, frames - 1)
    skip = (frames - last) * tokens
    runs = [(slots - last, 0, last), (0, last, frames - last)][: 2 if skip else 1]

    def written(write: Callable[..., Tensor]) -> Tensor:
        # what an earlier way wrote must not stand for what this one does not write
        whole.zero_()
        q, k, v = drawn[0].clone(), drawn[1].clone(), drawn[2]
        turned = write(q, k, v, table, tuple(whole[0]), runs, turn_keys=turn_keys)
        k = drawn[1].clone()
        write(q[:, :, :0], k, v, table, tuple(whole[1]), [(1, 0, last)], skip=skip, turn_keys=turn_keys)
        return torch.cat((turned, *whole.flatten(4, 5).flatten(0, 1)), dim=2)

    return written
