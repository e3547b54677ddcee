"""Stretches of a story, from a time to another, that follow one another: where controls stand on its clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .errors import ScheduleError
from .grid import ChunkGrid
from .notes import Note, note
from .time import Time


@dataclass(frozen=True)
class Stretch:
    """From `start` on until `end`; without an end, as long as there are pictures, or until the next one starts."""

    start: Time
    end: Time | None = None


@dataclass(frozen=True)
class PlacedStretch:
    """Video frames from `start_px` up to, not including, `end_px`, or without an end.

    number  of the stretch that it is, from 0.
    """

    number: int
    start_px: int
    end_px: int | None


def place_stretches(
    stretches: Sequence[Stretch], grid: ChunkGrid, chunks: int | None
) -> tuple[list[PlacedStretch], list[Note]]:
    """Place stretches on a story's video frames, by their starts; what starts beyond its end is left out, and noted.

    chunks  of the whole story; None where its end is open.

    Raises ScheduleError for two that overlap, one that ends before it starts, and shares of a story without an end.
    """
    placed = [_placed(number, stretch, grid, chunks) for number, stretch in enumerate(stretches)]
    placed.sort(key=lambda one: (one.start_px, one.number))
    for one, other in pairwise(placed):
        if one.start_px == other.start_px or (one.end_px is not None and one.end_px > other.start_px):
            first, second = stretches[one.number], stretches[other.number]
            until = f" to {first.end}" if first.end is not None else ""
            raise ScheduleError(
                f"control {other.number + 1} starts at {second.start}, where control {one.number + 1} (from "
                f"{first.start}{until}) still counts: let one end where the next one starts."
            )
    if not placed:
        return [], []
    ends = [other.start_px for other in placed[1:]]
    placed = [
        PlacedStretch(one.number, one.start_px, end if one.end_px is None else one.end_px)
        for one, end in zip(placed, [*ends, None], strict=True)
    ]
    length = None if chunks is None else grid.px_frames(chunks)
    late = [one for one in placed if length is not None and one.start_px >= length]
    notes = [
        note("control {0} starts at {1}, beyond the end: left out", one.number + 1, str(stretches[one.number].start))
        for one in late
    ]
    return [one for one in placed if one not in late], notes


def _placed(number: int, stretch: Stretch, grid: ChunkGrid, chunks: int | None) -> PlacedStretch:
    start = _px(stretch.start, grid, chunks, f"control {number + 1}")
    end = None if stretch.end is None else _px(stretch.end, grid, chunks, f"control {number + 1}")
    if end is not None and end <= start:
        raise ScheduleError(
            f"control {number + 1} runs from {stretch.start} to {stretch.end}, which holds no video frame: let it end "
            f"after it starts."
        )
    return PlacedStretch(number, start, end)


def _px(time: Time, grid: ChunkGrid, chunks: int | None, name: str) -> int:
    if time.unit == "percent" and chunks is None and time.value:
        raise ScheduleError(
            f"{name} has the time {time}, but the length of the story is open: write seconds, or set a length."
        )
    return math.ceil(grid.px_of(time, chunks or 0))
