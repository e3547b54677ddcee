"""Controls for tests: an encoder that looks back, pictures that count how they are read, and a model with a branch."""

from __future__ import annotations

import torch
from torch import Tensor

from memflow_core.config import LatentShape
from memflow_core.model import WanControl, control_channels
from memflow_core.stream import ControlSpan, ControlTrack

from .conftest import SMALL

CHANNELS = control_channels(SMALL.in_channels)


def branch(blocks: int = 1, seed: int = 12) -> WanControl:
    """A control branch of the small model, of random numbers."""
    tree = WanControl(SMALL, blocks, CHANNELS)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in tree.named_parameters():
        if "norm" not in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * (0.2 if parameter.ndim > 1 else 0.1)
    return tree.requires_grad_(False)


class LookingBack:
    """Encodes as the Wan VAE does in shape: a frame alone, then fours, each of which sees the frame before it."""

    def __init__(self) -> None:
        self.last: Tensor | None = None
        self.encoded = 0

    def encode(self, frames: Tensor) -> Tensor:
        self.encoded += len(frames)
        small = frames.movedim(-1, 1).unfold(2, 8, 8).unfold(3, 8, 8).mean((-1, -2))  # [f, 3, h, w]
        groups = []
        if self.last is None:
            groups.append(small[0])
            self.last, small = small[0], small[1:]
        for four in small.split(4) if len(small) else ():
            groups.append(four.mean(0) + 0.5 * self.last)
            self.last = four[-1]
        latents = torch.stack(groups, dim=1)[None]
        return latents.repeat(1, 6, 1, 1, 1)[:, : SMALL.in_channels] - 0.5

    def saw(self, frames: Tensor) -> bool:
        assert self.last is not None
        small = frames[-1].movedim(-1, 0).unfold(1, 8, 8).unfold(2, 8, 8).mean((-1, -2))
        return torch.allclose(small, self.last, atol=1e-6)

    def state(self) -> dict[str, Tensor]:
        return {} if self.last is None else {"carry.00": self.last[None, :, None]}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.last = state["carry.00"][0, :, 0].clone() if state else None


class Pictures:
    """`count` random pictures of a size, with a mask or without; `reads` says which were asked for."""

    def __init__(self, count: int, width: int = 48, height: int = 32, *, seed: int = 1, mask: Tensor | None = None):
        numbers = torch.Generator().manual_seed(seed)
        self.pictures = torch.rand(count, height, width, 3, generator=numbers)
        self.mask = mask
        self.reads: list[tuple[int, int]] = []

    def read(self, first: int, count: int) -> tuple[Tensor, Tensor | None]:
        self.reads.append((first, count))
        place = slice(first, first + count)
        return self.pictures[place], None if self.mask is None else self.mask[place]


def track(*spans: ControlSpan, shape: LatentShape | None = None, chunk_frames: int = 3) -> ControlTrack:
    """A control over a story of 48 x 32 pixels."""
    shape = shape or LatentShape(4, 6)
    return ControlTrack(spans, shape=shape, chunk_frames=chunk_frames, new_encoder=LookingBack)


def span(start: int, end: int | None = None, *, count: int = 200, strength: float = 1.0, **pictures) -> ControlSpan:
    """A control of random pictures, whose identity is its seed."""
    seed = pictures.setdefault("seed", 1)
    return ControlSpan(start, end, strength, Pictures(count, **pictures), identity=f"seed {seed}")


class Ramps:
    """Pictures [32, 16] of a story without end, by a rule alone, so that they are the same on any machine."""

    def __init__(self, width: int = 32, height: int = 16):
        rows, columns = torch.arange(height)[:, None, None] * 3, torch.arange(width)[:, None] * 5
        self._ramp = rows + columns + torch.arange(3) * 11

    def read(self, first: int, count: int) -> tuple[Tensor, Tensor | None]:
        frames = torch.arange(first, first + count)[:, None, None, None] * 7
        mask = (self._ramp[None, ..., 0] % 2).float().expand(count, -1, -1)
        return ((frames + self._ramp) % 256) / 255, mask


def _kept(*spans: ControlSpan) -> ControlTrack:
    return track(*spans, shape=LatentShape(2, 4))


# controls of the states in tests/golden/kept/core, which are kept as they are
KEPT_CONTROLS = {
    "steered": lambda: _kept(ControlSpan(0, 57, 1.0, Ramps()), ControlSpan(60, None, 0.5, Ramps())),
    "remade": lambda: _kept(ControlSpan(0, 60, 0.5, Ramps(), remake=True), ControlSpan(60, None, 1.0, Ramps())),
}
