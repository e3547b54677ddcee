"""Random numbers of a stream.

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

from ..memory import StateDict

Draw = Callable[[tuple[int, ...]], Tensor]
"""The next noise tensor of a chunk, of the given shape."""

_MASK = (1 << 64) - 1


class Noise(Protocol):
    """A source of noise: `chunk(n)` starts the draws of chunk n from the beginning."""

    def chunk(self, index: int) -> Draw: ...


def chunk_seed(seed: int, index: int) -> int:
    """Derive a chunk's 64-bit seed: the splitmix64 generator's output number `index` from state `seed`.

    splitmix64 (Steele, Lea and Flood 2014) decorrelates neighbouring seeds and chunks.
    """
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & _MASK
    return mixed ^ (mixed >> 31)


class SeededNoise:
    """Noise from a seed, 0 to 2^64 - 1. Raises ValueError for any other seed."""

    def __init__(self, seed: int):
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _MASK:
            raise ValueError(f"seed is {seed!r}, but must be a whole number from 0 to {_MASK}.")
        self.seed = seed

    def chunk(self, index: int) -> Draw:
        """Start the draws of a chunk: each call of the result gives the next float32 tensor, on the CPU."""
        generator = torch.Generator("cpu").manual_seed(chunk_seed(self.seed, index))
        return lambda shape: torch.randn(shape, generator=generator)

    def state_dict(self) -> StateDict:
        """The seed; a stream that goes on from it draws the same numbers."""
        return StateDict(meta={"seed": self.seed})


class NoiseAhead:
    """The draws of a chunk on a stream's device, made while the device still computes the chunk before it.

    device, shape  where they go, and the shape [B, C, F, h, w] of each.
    """

    def __init__(self, device: torch.device, shape: tuple[int, ...]):
        self._device = device
        self._shape = shape
        self._of: tuple[int, int, int] | None = None
        self._drawn: list[Tensor] = []

    def prepare(self, noise: Noise, chunk: int, count: int) -> None:
        """Draw a chunk's first `count` tensors now, if they come from a seed: other sources may know no further chunk.

        A CPU has nothing to do beside it.
        """
        if self._device.type != "cpu" and isinstance(noise, SeededNoise):
            self._drawn = draws_on(self._device, noise.chunk(chunk), self._shape, count)
            self._of = noise.seed, chunk, count

    def take(self, noise: Noise, chunk: int, count: int) -> list[Tensor]:
        """A chunk's first `count` draws, each float32 of the shape: those that were prepared, if they are the same."""
        if isinstance(noise, SeededNoise) and self._of == (noise.seed, chunk, count):
            self._of = None
            return self._drawn
        return draws_on(self._device, noise.chunk(chunk), self._shape, count)


def draws_on(device: torch.device, draw: Draw, shape: tuple[int, ...], count: int) -> list[Tensor]:
    """Move a chunk's first `count` draws to a device, each float32 of `shape`.

    A CUDA device is sent all of them at once through pinned memory, without a wait.
    """
    drawn = [draw(shape) for _ in range(count)]
    if device.type != "cuda":
        return [noise.to(device) for noise in drawn]
    return list(torch.stack(drawn).pin_memory().to(device, non_blocking=True))
