"""A story played without a model: how often the model will run, and what memory will hold.

It follows `Stream` and its memories move by move, in host integers alone, and needs to know nothing of scores: which
frame gives way to which does not change how many are held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .config import MemoryConfig, SamplingConfig
from .memory import SlotLayout, published_span
from .schedule import PlacedSegment, Plan


@dataclass
class Rehearsal:
    """What a played plan comes to.

    forwards    passes through the model by kind, as in `Forward`.
    span        most latent frames in one pass.
    at          layout of the cache at the end.
    waiting     frames that wait outside the cache at the end, each with keys and values of its own.
    prototypes  most of them at any time: an upper bound where a pin is recalled, which may stand in the bank already.
    named       named pins that are made by the end.
    pooled      prompts whose mean embedding is kept, at the end.
    recent      latent frames whose latents are kept for a recache, at the end.
    """

    at: SlotLayout
    forwards: Counter[str] = field(default_factory=Counter)
    span: int = 0
    waiting: int = 0
    prototypes: int = 0
    named: int = 0
    pooled: int = 0
    recent: int = 0


def rehearse(plan: Plan, memory: MemoryConfig, sampling: SamplingConfig, done: int = 0) -> Rehearsal:
    """Play a plan of which `done` chunks are made already; `forwards` and `span` are those of the rest."""
    short, skipped = without_repeats(plan, memory, done)
    stage = _Published(short, memory, sampling) if memory.retrieval == "reference" else _Stage(short, memory, sampling)
    for segment in short.segments:
        for chunk in range(segment.start_chunk, segment.end_chunk):
            stage.play(chunk, segment, counted=chunk >= done)
    told = stage.result()
    told.forwards.update({"denoise": skipped * len(sampling.steps), "context": skipped})
    return told


def chunks_until_full(memory: MemoryConfig) -> int:
    """Chunks after which memory holds as much as it ever will, if nothing is pinned in the meantime."""
    return memory.window_frames + (memory.bank_slots + 1) * memory.record_every


def without_repeats(plan: Plan, memory: MemoryConfig, done: int) -> tuple[Plan, int]:
    """A plan, shortened by chunks of its last segment in which memory does again what it did before, and how many."""
    last, pins = plan.segments[-1], [pin.frame // plan.grid.latent_frames + 1 for pin in plan.pins]
    settled = max(last.start_chunk, done, *pins, *(pin + 1 for pin in memory.pins)) + chunks_until_full(memory)
    # whole intervals, so that the same frames as ever wait at the end
    skipped = max(0, plan.chunks - settled) // memory.record_every * memory.record_every
    end = plan.chunks - skipped
    return replace(plan, segments=(*plan.segments[:-1], replace(last, end_chunk=end)), chunks=end), skipped


class _Stage:
    """The moves of `NarrativeMemory`."""

    def __init__(self, plan: Plan, memory: MemoryConfig, sampling: SamplingConfig):
        self.plan, self.memory, self.sampling = plan, memory, sampling
        self.at = SlotLayout(memory.sink_frames, memory.window_frames, memory.bank_slots)
        self.told = Rehearsal(self.at)
        self.pinned = set(memory.pins) | {pin.frame for pin in plan.pins if pin.name is None}
        self.named = {pin.name: pin.frame for pin in plan.pins if pin.name is not None}
        self.offers: list[int] = []  # recorded frames on their way to the bank
        self.entered: set[int] = set()
        self.held: set[int] = set()  # what surely stands in the bank: all of it, until it is full
        self.undecided = 0

    def play(self, chunk: int, segment: PlacedSegment, counted: bool) -> None:
        frames, starts = self.sampling.chunk_frames, chunk == segment.start_chunk
        self.told.pooled += starts
        kind = segment.switch if starts and chunk > 0 else None
        self.meet(chunk, segment, kind)
        span = self.recache_span() if kind == "recache" else 0
        if kind == "cut":
            self.at.origin = self.at.end
        self.at.end = (chunk + 1) * frames
        if counted:
            self.told.forwards.update({"denoise": len(self.sampling.steps), "context": 1, "recache": int(span > 0)})
            self.told.span = max(self.told.span, frames, span)
        self.undecided = 0
        self.record(chunk)

    def result(self) -> Rehearsal:
        made = self.at.end
        self.told.waiting = sum(not self.at.in_sink(frame) for frame in self.offers)
        self.told.named = sum(frame < made for frame in self.named.values())
        frames = self.sampling.chunk_frames
        kept = -(-(self.at.sink_slots + self.at.window_slots) // frames) * frames
        self.told.recent = min(made, kept)
        return self.told

    def recache_span(self) -> int:
        return max(0, self.at.end - self.at.first_seen_after(self.sampling.chunk_frames))

    def meet(self, chunk: int, segment: PlacedSegment, kind: str | None) -> None:
        """Before a chunk: recalled pins and frames that leave the window go into the bank."""
        if not self.at.bank_slots:
            return
        recalled = {self.named[name] for name in segment.recall}
        self.entered &= recalled
        if kind == "cut":
            self.bring_in(recalled)
            while self.offers:
                self.consider(self.offers.pop(0))
        oldest = (chunk + 1) * self.sampling.chunk_frames - self.at.window_slots
        gone = {frame for frame in recalled if frame < max(oldest, self.at.origin)}
        self.bring_in(frame for frame in gone if not self.at.in_sink(frame))
        for frame in [frame for frame in self.offers if not self.at.in_sink(frame) and frame < oldest]:
            self.offers.remove(frame)
            self.consider(frame)

    def bring_in(self, frames: Iterable[int]) -> None:
        for frame in sorted(set(frames) - self.entered):
            if frame not in self.held:
                self.consider(frame)
            self.entered.add(frame)

    def consider(self, frame: int) -> None:
        """A frame with buffers of its own meets the bank."""
        self.count(1)
        if frame in self.entered:
            return
        if self.at.bank < self.at.bank_slots:
            self.at.bank += 1
            self.held.add(frame)
            return
        self.held.clear()
        if self.memory.retrieval == "attention":
            self.undecided += 1

    def record(self, chunk: int) -> None:
        if not self.at.bank_slots:
            return
        first = chunk * self.sampling.chunk_frames
        due = {first} if chunk % self.memory.record_every == 0 else set()
        made = set(range(first, first + self.sampling.chunk_frames))
        self.offers += sorted(due | self.pinned & made)
        self.count(0)

    def count(self, more: int) -> None:
        alive = sum(not self.at.in_sink(frame) for frame in self.offers) + self.undecided + more
        self.told.prototypes = max(self.told.prototypes, alive)


class _Published(_Stage):
    """The moves of `ReferenceMemory`: one newest frame, which is in the bank as soon as the next chunk starts."""

    def recache_span(self) -> int:
        span = published_span(self.at)
        return 0 if span is None else span.frames

    def meet(self, chunk: int, segment: PlacedSegment, kind: str | None) -> None:
        recorded = -(-chunk // self.memory.record_every)
        self.at.bank = min(recorded, self.at.bank_slots)

    def record(self, chunk: int) -> None:
        # chunk 0 always is
        self.told.prototypes = 1

    def result(self) -> Rehearsal:
        told = super().result()
        told.waiting, told.pooled = 1, 0
        return told
