"""Rotate a chunk's queries and keys (RoPE) and write keys and values into their cache slots, in one step.

`naive_rope_write` defines the result. A stream takes the fused kernel where it is right and faster on its device
(`rope_writer`), else rotates and writes one after the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from ..config import LatentShape, MemoryConfig, SamplingConfig
from ..model import Backbone, Rope, Rotation
from .autotune import CLOSE, Variants
from .backends import fastest_of, runs_triton

logger = logging.getLogger(__name__)

MOST_RUNS = 2  # contiguous runs of slots that the fused kernel writes to at once
UNWRITTEN = 3.0
TRIED_HEADS = 8  # of a layer: what a trial takes beside the model stays small


@dataclass(frozen=True)
class Destination:
    """Where the keys and values of a chunk go in one layer, and how its queries and keys are rotated.

    table      float32 [L, head_dim / 2, 2]: `Rotation.table`, over rows.
    keys       slots of the layer in the cache, [B, heads, slots, tokens, head_dim].
    values     as keys.
    runs       where frames go that are written, by slot, first frame and length: `SlotLayout.runs`. In their order they
               take all rows but those that are skipped, and no slot twice.
    skip       how many of the first rows are not written.
    turn_keys  keys are written after RoPE, else as they are.
    """

    table: Tensor
    keys: Tensor
    values: Tensor
    runs: Sequence[tuple[int, int, int]]
    skip: int = 0
    turn_keys: bool = True

    @property
    def tokens(self) -> int:
        """Tokens of a latent frame."""
        return self.keys.shape[3]


RopeWrite = Callable[[Tensor, Tensor, Tensor, Destination], Tensor]
"""Called with q, k, v of a layer before RoPE, [B, heads, L, head_dim] each, or no rows of q: writes keys and values,
and returns q rotated, as q. It may overwrite k, and q where keys are turned."""


def naive_rope_write(q: Tensor, k: Tensor, v: Tensor, to: Destination) -> Tensor:
    """Define what a `RopeWrite` does: the kernels of torch that a stream runs one after the other."""
    rotation = Rotation(to.table)
    rotated_q = q if not q.shape[2] else rotation.turn_(q).to(q.dtype) if to.turn_keys else rotation.apply(q)
    # float32 is rounded as it is written
    turned = rotation.turn_(k) if to.turn_keys else k
    for slot, frame, length in to.runs:
        rows = slice(to.skip + frame * to.tokens, to.skip + (frame + length) * to.tokens)
        for slots, new in ((to.keys, turned), (to.values, v)):
            slots[:, :, slot : slot + length] = new[:, :, rows].unflatten(2, (length, to.tokens))
    return rotated_q


def fused_rope_write(q: Tensor, k: Tensor, v: Tensor, to: Destination) -> Tensor:
    """The same by one Triton kernel, on a GPU or in Triton's interpreter; at most MOST_RUNS runs.

    Triton is imported as it is called: an installation that is broken only loses the trial.
    """
    from .rope_write_triton import rope_write

    return rope_write(q, k, v, to)


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
    return fused_rope_write if _fastest(device, backbone.dtype, size, turn_keys) == "fused" else None


@cache
def _fastest(device: torch.device, dtype: torch.dtype, size: tuple[int, ...], turn_keys: bool) -> str:
    """The faster one, "plain" or "fused", for a chunk: size is batch, heads, frames, rows, columns, head_dim."""
    batch, heads, frames, rows, columns, head_dim = size

    def at(count: int) -> tuple[Variants, Tensor]:
        written = rope_write_trial((batch, heads, count, rows, columns, head_dim), dtype, device, turn_keys)
        ways = {"plain": partial(written, naive_rope_write), "fused": partial(written, fused_rope_write)}
        return ways, written(naive_rope_write)

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


def rope_write_trial(
    size: tuple[int, ...], dtype: torch.dtype, device: torch.device, turn_keys: bool
) -> Callable[[RopeWrite], Tensor]:
    """Random queries, keys and values in a stream's layout, to be written as its passes write them.

    size  batch, heads, frames, rows, columns, head_dim.

    Returns a function of a way to write, which gives rotated queries and, behind them, all slots, [B, heads, rows,
    head_dim]: of a layer where the ring goes round, and of one that is written without queries and, of several frames,
    without the first. Slots that are not written hold UNWRITTEN.
    """
    batch, heads, frames, rows, columns, head_dim = size
    tokens = rows * columns
    generator = torch.Generator(device).manual_seed(0)
    draw = partial(torch.randn, generator=generator, device=device, dtype=dtype)
    drawn = draw(3, batch, frames * tokens, heads, head_dim).transpose(2, 3)
    table = Rope(head_dim, rows, columns, device).at(torch.arange(frames, device=device) + 7).over_rows().table
    slots, last = frames + 1, max(1, frames - 1)
    # keys and values of two layers
    whole = drawn.new_empty(2, 2, batch, heads, slots, tokens, head_dim)
    skip = (frames - last) * tokens
    runs = [(slots - last, 0, last), (0, last, frames - last)][: 2 if skip else 1]
    asked = Destination(table, whole[0, 0], whole[0, 1], runs, turn_keys=turn_keys)
    stored = Destination(table, whole[1, 0], whole[1, 1], [(1, 0, last)], skip, turn_keys)

    def written(write: RopeWrite) -> Tensor:
        # what an earlier way wrote must not stand for what this one does not write
        whole.fill_(UNWRITTEN)
        q, k, v = drawn[0].clone(), drawn[1], drawn[2]
        turned = write(q, k.clone(), v, asked)
        write(q[:, :, :0], k.clone(), v, stored)
        return torch.cat((turned, *whole.flatten(4, 5).flatten(0, 1)), dim=2)

    return written
