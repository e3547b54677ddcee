"""Watch the pictures of a long video for drift: contrast, saturation, sharpness, frozen pictures, jumps at chunk edges.

A stream that makes its pictures from its own pictures can drift: colours burn out, details blur, the picture stands
still. Each chunk is measured when it is decoded; what leaves the band that the first minute spans is told in words.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor

FIRST_S = 60.0  # seconds of film that set the band
RECENT_S = 15.0  # seconds whose mean must stay in it: scenes differ, so a single chunk may not
BELOW, ABOVE = 0.6, 1.7  # how far the band goes beyond the least and the most of the first minute
FLOOR = 1.0  # levels: in pictures with less of something, a change of it says nothing
FROZEN = 0.1  # levels between frames of a chunk: no picture that a model makes stands as still
JUMP = 12.0  # levels between two chunks, at least
JUMP_TIMES = 4.0  # how many times that between frames within them
LUMA = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)
SIDE = 200  # frames are compared at about so many points a side
DIGITS = 3

MEASURES = {"contrast": "contrast", "saturation": "saturation of colours", "sharpness": "sharpness"}


@dataclass(frozen=True)
class ChunkPictures:
    """One chunk's pictures in numbers. All are in levels of 8 bits, 0 to 255.

    contrast    standard deviation of the luma.
    saturation  mean distance between a pixel's highest and lowest colour.
    sharpness   mean difference of luma between neighbouring pixels.
    motion      largest mean difference of luma between two frames in a row; 0 for a single frame.
    edge        the same between the last frame before the chunk and its first; None for a first chunk.
    """

    chunk: int
    contrast: float
    saturation: float
    sharpness: float
    motion: float
    edge: float | None


class DriftWatch:
    """Measures the chunks of a run, in their order.

    fps  video frames a second.
    """

    def __init__(self, fps: float):
        self._fps = fps
        self._chunks: list[ChunkPictures] = []
        self._ends_s: list[float] = []  # of each chunk, in seconds of the run's film
        self._last: Tensor | None = None  # luma of the newest frame
        self._first: list[ChunkPictures] = []  # those of the first minute
        self._told: dict[str, str] = {}

    def add(self, chunk: int, frames: Tensor, *, new_prompt: bool = False) -> list[str]:
        """Measure a chunk's frames [f, H, W, 3] uint8 in RAM.

        chunk       its number in the story.
        new_prompt  whether a prompt takes over with it: then its first frame may differ as much as it likes.

        Returns sentences on what has just gone wrong; each kind is told once.
        """
        made = self._measure(chunk, frames)
        before = self._chunks[-1:]
        self._chunks.append(made)
        self._ends_s.append((self._ends_s[-1] if self._ends_s else 0.0) + len(frames) / self._fps)
        if self._ends_s[-1] <= FIRST_S:
            self._first.append(made)
        found = {"frozen": _frozen(made, before), "jump": None if new_prompt else _jump(made, before)}
        found |= self._drifts()
        fresh = {kind: said for kind, said in found.items() if said is not None and kind not in self._told}
        self._told |= fresh
        return list(fresh.values())

    def report(self) -> dict[str, Any]:
        """Numbers of every chunk, by name, and the sentences that were told; fit for JSON."""
        rows = [asdict(made) for made in self._chunks]
        columns = {name: [_rounded(row[name]) for row in rows] for name in ("chunk", *MEASURES, "motion", "edge")}
        return {**columns, "warnings": list(self._told.values())}

    def _measure(self, chunk: int, frames: Tensor) -> ChunkPictures:
        thin = _thinned(frames)
        luma, middle = _luma(thin), _luma(frames[len(frames) // 2])
        motion = luma.diff(dim=0).abs().mean(dim=(1, 2))
        edge = None if self._last is None else float((luma[0] - self._last).abs().mean())
        self._last = luma[-1]
        return ChunkPictures(
            chunk,
            contrast=float(luma.std(dim=(1, 2), correction=0).mean()),
            saturation=float((thin.amax(-1).float() - thin.amin(-1).float()).mean()),
            sharpness=float(middle.diff(dim=0).abs().mean() + middle.diff(dim=1).abs().mean()) / 2,
            motion=float(motion.max()) if len(motion) else 0.0,
            edge=edge,
        )

    def _drifts(self) -> dict[str, str | None]:
        """By measure: a sentence if the last seconds have left the band of the first minute."""
        end = self._ends_s[-1]
        if end < FIRST_S + RECENT_S or not self._first:
            return {}
        recent = self._chunks[bisect_right(self._ends_s, end - RECENT_S) :]
        return {name: _drift(name, self._first, recent) for name in MEASURES}


def _drift(name: str, first: Sequence[ChunkPictures], recent: Sequence[ChunkPictures]) -> str | None:
    usual, now = [getattr(made, name) for made in first], mean(getattr(made, name) for made in recent)
    low, high = min(usual), max(usual)
    if max(high, now) < FLOOR or low * BELOW <= now <= high * ABOVE:
        return None
    return (
        f"the pictures drift: up to chunk {recent[-1].chunk + 1} their {MEASURES[name]} is {now:.3g} of 255; in the "
        f"first minute it was from {low:.3g} to {high:.3g}, most often about {median(usual):.3g}."
    )


def _frozen(made: ChunkPictures, before: Sequence[ChunkPictures]) -> str | None:
    still = made.edge is not None and max(made.motion, made.edge) < FROZEN
    # one still chunk may be what was asked for
    if not still or not before or before[0].motion >= FROZEN:
        return None
    return f"the picture stands still: chunks {made.chunk} and {made.chunk + 1} show one and the same frame."


def _jump(made: ChunkPictures, before: Sequence[ChunkPictures]) -> str | None:
    if made.edge is None or made.edge < JUMP:
        return None
    within = max([made.motion, *(one.motion for one in before)])
    if made.edge < JUMP_TIMES * within:
        return None
    return (
        f"the picture jumps between chunks {made.chunk} and {made.chunk + 1}: by {made.edge:.3g} of 255, and by "
        f"{within:.3g} at most from frame to frame within them."
    )


def _thinned(frames: Tensor) -> Tensor:
    """About SIDE points a side of frames [f, H, W, 3]."""
    rows, columns = (max(1, round(size / SIDE)) for size in frames.shape[1:3])
    return frames[:, ::rows, ::columns]


def _luma(frames: Tensor) -> Tensor:
    """[..., 3] uint8 -> [...] float32, 0 to 255."""
    return frames.float() @ torch.tensor(LUMA)


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, DIGITS)
