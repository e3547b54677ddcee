"""A schedule with its plan and embeddings, changed between two chunks and written down as it was played.

An `EncodedSchedule` is a value: a change between two chunks makes a new one, which keeps the chunks before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..schedule import ChunkGrid, Pin, Plan, PromptSchedule, Segment, Time


@dataclass(frozen=True)
class EncodedSchedule:
    """A schedule, the plan that it was placed on, and the embedding of each segment's full prompt.

    embeddings  [1 or B, length, text_dim], one for each segment; kept as a tuple.
    weights     names of the model's weights, one for each segment; none where all have the model's own.

    Raises ValueError unless schedule, plan, embeddings and weights have the same number of segments, and for one that
    asks for a LoRA and has the model's own weights.
    """

    schedule: PromptSchedule
    plan: Plan
    embeddings: Sequence[Tensor]
    weights: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "embeddings", tuple(self.embeddings))
        object.__setattr__(self, "weights", tuple(self.weights) or ("",) * len(self.embeddings))
        counts = len(self.schedule.segments), len(self.plan.segments), len(self.embeddings)
        if len({*counts, len(self.weights)}) > 1:
            raise ValueError(
                f"the schedule has {counts[0]} segments, its plan {counts[1]}, and there are {counts[2]} embeddings: "
                f"each segment needs its place and its embedding."
            )
        for segment, weights in zip(self.schedule.segments, self.weights, strict=True):
            if not weights and (asked := next((lora for lora in segment.loras if lora.strength), None)):
                raise ValueError(
                    f"the prompt {segment.prompt[:40]!r} asks for LoRA {asked.name!r}, but its weights are the model's "
                    f"own: give weights by name, as MemFlow Prompt Schedule does, or take [{asked}] out."
                )

    def with_prompt(self, chunk: int, prompt: str, switch: str, embedding: Tensor) -> EncodedSchedule:
        """Insert a prompt from a chunk on, until the next segment; it replaces a segment that starts there.

        The model keeps the weights of the segment that the prompt is put into.

        embedding  [1 or B, length, text_dim] of the full prompt.

        Returns the new schedule. Raises ScheduleError for a prompt or a switch that no segment can have.
        """
        into = self.plan.segment_at(chunk)
        loras = self.schedule.segments[into].loras
        segment = Segment(exact_time(self.plan.grid, chunk), prompt, switch, loras=loras)
        new = _Part(chunk, segment, embedding, self.weights[into])
        parts = [part for part in self._parts() if part.start_chunk != chunk] + [new]
        return self._of(sorted(parts, key=lambda part: part.start_chunk), self.plan.chunks)

    def ending_at(self, chunks: int) -> EncodedSchedule:
        """Cut the schedule to its first `chunks` chunks, and return the result."""
        return self._of([part for part in self._parts() if part.start_chunk < chunks], chunks)

    def played(self) -> PromptSchedule:
        """Return a schedule that falls on the same chunks again, its length included.

        Times that were a share of the length are written out, since the length may have changed.
        """
        segments = tuple(part.segment for part in self._parts())
        return replace(self.schedule, segments=segments, length=exact_time(self.plan.grid, self.plan.chunks))

    def _parts(self) -> list[_Part]:
        """Segments with their start and embedding; no start is a share of the length, which may still change."""
        grid = self.plan.grid
        parts = []
        placed_parts = zip(self.plan.segments, self.schedule.segments, self.embeddings, self.weights, strict=True)
        for placed, segment, embedding, weights in placed_parts:
            start = segment.start
            if start.unit == "percent":
                start = exact_time(grid, placed.start_chunk)
            parts.append(_Part(placed.start_chunk, replace(segment, start=start), embedding, weights))
        return parts

    def _pins(self, chunks: int) -> Iterator[Pin]:
        """Pins within the first `chunks` chunks; no time is a share of the length."""
        grid = self.plan.grid
        for pin, placed in zip(self.schedule.pins, self.plan.pins, strict=True):
            if placed.frame < chunks * grid.latent_frames:
                exact = Time(grid.latent_start_px(placed.frame), "frames")
                yield replace(pin, time=exact) if pin.time.unit == "percent" else pin

    def _of(self, parts: Sequence[_Part], chunks: int) -> EncodedSchedule:
        segments = tuple(part.segment for part in parts)
        schedule = replace(self.schedule, segments=segments, pins=tuple(self._pins(chunks)))
        plan = schedule.place(self.plan.grid, Time(chunks, "chunks"))
        embeddings = tuple(part.embedding for part in parts)
        return EncodedSchedule(schedule, plan, embeddings, tuple(part.weights for part in parts))


@dataclass(frozen=True)
class _Part:
    """A segment, the chunk it starts at, its embedding [1 or B, length, text_dim], and the name of its weights."""

    start_chunk: int
    segment: Segment
    embedding: Tensor
    weights: str


def exact_time(grid: ChunkGrid, chunk: int) -> Time:
    """The start of a chunk: seconds to the millisecond where they lead back to the chunk, else its video frame."""
    seconds = Time(round(grid.start_s(chunk), 3), "s")
    exact = grid.px_of(seconds) == grid.start_px(chunk)
    return seconds if exact else Time(grid.start_px(chunk), "frames")
