"""Every random number of a stream.

One seed makes one stream. Chunk n draws from its own generator, seeded from (seed, n): first the chunk's initial
noise, then one re-noising after each denoising step but the last, each of shape [B, C, F, h, w]. All draws are
float32 on the CPU, so they depend on nothing else: not on the device, on previews, on what ran before, or on
where a run was interrupted. Chunk n can be made again from the stream's state before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Draw = Callable[[tuple[int, ...]], Tensor]
"""The next noise tensor of a chunk, of the given shape."""

_MASK = (1 << 64) - 1


class Noise(Protocol):
    """A source of noise: `chunk(n)` starts the draws of chunk n from the beginning."""

    def chunk(self, index: int) -> Draw: ...


def chunk_seed(seed: int, index: int) -> int:
    """A 64-bit seed for chunk `index`: splitmix64 of the stream's seed and the index, so that neighbouring seeds and
    chunks share nothing."""
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & _MASK
    return mixed ^ (mixed >> 31)


class SeededNoise:
    """The noise of a seed from 0 to 2^64 - 1."""

    def __init__(self, seed: int):
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _MASK:
            raise ValueError(f"seed is {seed!r}, but must be a whole number from 0 to {_MASK}.")
        self.seed = seed

    def chunk(self, index: int) -> Draw:
        generator = torch.Generator("cpu").manual_seed(chunk_seed(self.seed, index))
        return lambda shape: torch.randn(shape, generator=generator)


def draws_on(device: torch.device, draw: Draw, shape: tuple[int, ...], count: int) -> list[Tensor]:
    """A chunk's first `count` draws, on a device. A GPU is sent all of them at once, and nobody waits for it."""
    drawn = [draw(shape) for _ in range(count)]
    if device.type != "cuda":
        return [noise.to(device) for noise in drawn]
    return list(torch.stack(drawn).pin_memory().to(device, non_blocking=True))
