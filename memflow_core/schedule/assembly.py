"""From entries to a schedule: ends of ranges, prompts that repeat the one before them, segments, and what is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .entries import Left, at_line, is_before
from .line import Entry
from .notes import Note, listed, note
from .schedule import PromptSchedule, Segment
from .time import Time


def assemble(entries: Sequence[Entry], prompts: Sequence[str], left: Left, told: Iterable[Note] = ()) -> PromptSchedule:
    """The schedule of entries with these prompts; its length is the end of the last range.

    left, told  what was left out of them, and what is told before that.

    Raises ScheduleError with the number of the line.
    """
    ranges = read_ranges([(entry.start, entry.end) for entry in entries])
    kept = without_repeats(entries, prompts, left)
    segments = segments_of([entry for entry, _ in kept], [prompt for _, prompt in kept])
    return PromptSchedule(tuple(segments), length=ranges.length, notes=(*told, *left.notes(), *ranges.notes))


@dataclass(frozen=True)
class Ranges:
    """What the ends of ranges say: the story's length, and what is told of gaps and overlaps."""

    length: Time | None
    notes: tuple[Note, ...]


def read_ranges(spans: Sequence[tuple[Time, Time | None]]) -> Ranges:
    """Compare the ends of ranges with the starts that follow them."""
    gaps, overlaps = [], []
    for number, ((_, end), (start, _)) in enumerate(itertools.pairwise(spans), 1):
        if end is None or end.unit != start.unit:
            continue
        # the last frame may be counted in: 0-39, then 40-79
        slack = 1 if end.unit == "frames" else 1e-3
        if start.value > end.value + slack:
            gaps.append(f"{end} - {start}")
        elif start.value < end.value - slack:
            overlaps.append(number + 1)
    told = []
    if gaps:
        more = ", ..." if len(gaps) > 4 else ""
        told.append(note("no prompt for {0}: the one before goes on", ", ".join(gaps[:4]) + more))
    if overlaps:
        told.append(note("ranges overlap: the later start counts (prompt {0})", listed(overlaps)))
    length = spans[-1][1] if spans else None
    return Ranges(None if length is None or length.unit == "percent" else length, tuple(told))


def without_repeats(entries: Sequence[Entry], prompts: Sequence[str], left: Left) -> list[tuple[Entry, str]]:
    """Entries with their prompts, without those that only repeat the prompt before them."""
    kept: list[tuple[Entry, str]] = []
    for entry, prompt in zip(entries, prompts, strict=True):
        again = kept and entry.plain and prompt == kept[-1][1]
        if again and is_before(kept[-1][0].start, entry.start):
            left.repeats += 1
        else:
            kept.append((entry, prompt))
    return kept


def segments_of(entries: Sequence[Entry], prompts: Sequence[str]) -> list[Segment]:
    """The segments of entries. Raises ScheduleError with the number of the line."""
    return [
        at_line(entry.number, lambda e=entry, p=prompt: e.segment(p))
        for entry, prompt in zip(entries, prompts, strict=True)
    ]
