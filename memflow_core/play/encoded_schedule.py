"""A schedule while it is played: what is still to come may change, and what was played can be written down.

A script is a value. What is asked for between two chunks makes a new script, whose past is that of the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from ..schedule import ChunkGrid, Pin, Plan, PromptSchedule, Segment, Time


@dataclass(frozen=True)
class EncodedSchedule:
    """A schedule, where its segments fall, and one embedding [1, length, text_dim] for each of them."""

    schedule: PromptSchedule
    plan: Plan
    embeddings: tuple[Tensor, ...]

    def with_prompt(self, chunk: int, prompt: str, switch: str, embedding: Tensor) -> EncodedSchedule:
        """The same with another prompt from a chunk on, until the next segment; a segment that starts there gives way.

        Raises ScheduleError for a prompt or a switch that no segment can have.
        """
        segment = Segment(exact_time(self.plan.grid, chunk), prompt, switch)
        parts = [part for part in self._parts() if part[0] != chunk] + [(chunk, segment, embedding)]
        return self._of(sorted(parts, key=lambda part: part[0]), self.plan.chunks)

    def ending_at(self, chunks: int) -> EncodedSchedule:
        """The same, `chunks` chunks long, which must not be longer than it was."""
        return self._of([part for part in self._parts() if part[0] < chunks], chunks)

    def played(self) -> PromptSchedule:
        """A schedule, with its length, that falls on the same chunks again whatever its length was said to be."""
        segments = tuple(segment for _, segment, _ in self._parts())
        return replace(self.schedule, segments=segments, length=exact_time(self.plan.grid, self.plan.chunks))

    def _parts(self) -> list[tuple[int, Segment, Tensor]]:
        """(start chunk, segment, embedding); no start is a share of the length, which may still change."""
        starts = [placed.start_chunk for placed in self.plan.segments]
        segments = [
            replace(segment, start=exact_time(self.plan.grid, start)) if segment.start.unit == "percent" else segment
            for start, segment in zip(starts, self.schedule.segments, strict=True)
        ]
        return list(zip(starts, segments, self.embeddings, strict=True))

    def _pins(self, chunks: int) -> Iterator[Pin]:
        """Those that a story of so many chunks comes to; no time is a share of the length."""
        grid = self.plan.grid
        for pin, placed in zip(self.schedule.pins, self.plan.pins, strict=True):
            if placed.frame < chunks * grid.latent_frames:
                exact = Time(grid.latent_start_px(placed.frame), "frames")
                yield replace(pin, time=exact) if pin.time.unit == "percent" else pin

    def _of(self, parts: list[tuple[int, Segment, Tensor]], chunks: int) -> EncodedSchedule:
        segments = tuple(segment for _, segment, _ in parts)
        schedule = replace(self.schedule, segments=segments, pins=tuple(self._pins(chunks)))
        plan = schedule.place(self.plan.grid, Time(chunks, "chunks"))
        return EncodedSchedule(schedule, plan, tuple(embedding for _, _, embedding in parts))


def exact_time(grid: ChunkGrid, chunk: int) -> Time:
    """When a chunk starts, in seconds to the millisecond where that is exact enough, else as a video frame."""
    seconds = Time(round(grid.start_s(chunk), 3), "s")
    exact = grid.px_of(seconds) == grid.start_px(chunk)
    return seconds if exact else Time(grid.start_px(chunk), "frames")
