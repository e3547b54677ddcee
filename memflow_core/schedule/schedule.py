"""Prompts over time, and where they fall on the grid of chunks.

A segment takes effect at the first chunk that starts at or after the time asked for; seconds are first rounded to
the nearest video frame. `schedule_text` writes and reads schedules as text, `schedule_formats` reads those of others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import BLEND_PATHS, SWITCHES
from .errors import ScheduleError, check_text, require, shorten, show
from .grid import ChunkGrid
from .plan import PlacedPin, PlacedSegment, Plan
from .time import Time

MAX_SEED = 2**64 - 1
_PIN_NAME = re.compile(r"[^\W\d][\w-]{0,39}")
_RESERVED = (*SWITCHES, "seed")


@dataclass(frozen=True)
class Blend:
    """How a `blend` switch moves from the previous prompt to the new one.

    length  chunks, or seconds, which are rounded up to whole chunks.
    path    `linear`, or `spherical`, which turns each token's embedding instead of cutting the corner.
    """

    length: Time = Time(4, "chunks")
    path: str = "linear"

    def __post_init__(self) -> None:
        known = isinstance(self.length, Time) and self.length.unit in ("chunks", "s") and self.length.value > 0
        said = self.length if isinstance(self.length, Time) else show(self.length)
        require(known, f"a blend's length is {said}, but must be chunks, at least 1, or seconds above 0.")
        require(
            self.path in BLEND_PATHS, f"a blend's path is {show(self.path)}, but must be {' or '.join(BLEND_PATHS)}."
        )

    def chunks(self, grid: ChunkGrid) -> int:
        """Chunks until the new prompt speaks alone, the one that does so included."""
        if self.length.unit == "chunks":
            return self.length.value
        return max(1, int(-(-grid.px_of(self.length) // grid.chunk_px)))


@dataclass(frozen=True)
class Pin:
    """A moment to keep in memory: for good, or, with a name, in the segments that ask for it."""

    time: Time
    name: str | None = None

    def __post_init__(self) -> None:
        require(isinstance(self.time, Time), f"a pin's time is {show(self.time)}, but must be a Time.")
        if self.name is not None:
            check_pin_name(self.name)


@dataclass(frozen=True)
class Segment:
    """One prompt, from `start` until the next segment.

    switch  how the prompt takes over, one of SWITCHES. It means nothing for the first segment.
    seed    for this segment's noise; None: the stream's.
    blend   for the switch `blend`, and only for it; None there takes the defaults.
    recall  names of the pins that stand in the memory bank in this segment.
    """

    start: Time
    prompt: str
    switch: str = "recache"
    seed: int | None = None
    blend: Blend | None = None
    recall: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(isinstance(self.start, Time), f"segment start is {show(self.start)}, but must be a Time.")
        check_text("prompt", self.prompt)
        require(self.switch in SWITCHES, f"switch is {show(self.switch)}, but must be one of {', '.join(SWITCHES)}.")
        require(
            self.seed is None or _is_seed(self.seed),
            f"seed is {show(self.seed)}, but must be a whole number from 0 to {MAX_SEED}, or left out.",
        )
        self._check_blend()
        self._check_recall()

    def _check_blend(self) -> None:
        if self.switch == "blend" and self.blend is None:
            object.__setattr__(self, "blend", Blend())
        fits = isinstance(self.blend, Blend) if self.switch == "blend" else self.blend is None
        require(fits, f"blend is {show(self.blend)}, but only the switch 'blend' has one, and it must be a Blend.")

    def _check_recall(self) -> None:
        names = self.recall
        require(isinstance(names, (list, tuple)), f"recall is {show(names)}, but must be a list of pins' names.")
        for name in names:
            check_pin_name(name)
        require(len(set(names)) == len(names), f"recall is {show(names)}, but must name each pin once.")
        object.__setattr__(self, "recall", tuple(names))


def _is_seed(seed: object) -> bool:
    return isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED


def is_pin_name(name: object) -> bool:
    return isinstance(name, str) and bool(_PIN_NAME.fullmatch(name)) and name not in _RESERVED


def check_pin_name(name: object) -> None:
    """Raise ScheduleError unless `name` can be a pin's."""
    require(
        is_pin_name(name),
        f"a pin's name is {show(name)}, but must be one word of at most 40 letters, digits, '_' and '-', start with a "
        f"letter, and be none of {', '.join(_RESERVED)}.",
    )


@dataclass(frozen=True)
class PromptSchedule:
    """Prompts over time.

    segments       in the order of the story. May be empty while a schedule is being built.
    global_prompt  put before every prompt.
    length         of the story, where whoever places it names none.
    pins           moments to keep in memory; every name stands for one.
    """

    segments: tuple[Segment, ...]
    global_prompt: str = ""
    length: Time | None = None
    pins: tuple[Pin, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in (("segments", Segment), ("pins", Pin)):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            for held in getattr(self, name):
                require(isinstance(held, kind), f"a schedule holds {kind.__name__}s, not a {type(held).__name__}.")
        check_text("global_prompt", self.global_prompt)
        if self.length is not None:
            _check_length(self.length)
        self._check_names()

    def full_prompts(self) -> list[str]:
        """What is encoded for each segment: the global prompt, a space, the segment's own."""
        return [" ".join(part for part in (self.global_prompt, segment.prompt) if part) for segment in self.segments]

    def check_order(self) -> None:
        """Raise ScheduleError for what no grid can mend: no segments, a first one that is not at 0, times that
        do not rise."""
        self._check_start()
        for later in range(1, len(self.segments)):
            time, before = self.segments[later].start, self.segments[later - 1].start
            if time.unit == before.unit and time.value <= before.value:
                raise ScheduleError(self._not_rising(later))

    def place(self, grid: ChunkGrid, length: Time | None = None, collisions: str = "error") -> Plan:
        """Put every segment on the first chunk that starts at or after its time.

        length      of the story; None takes the schedule's own. Rounded up to whole chunks.
        collisions  `error`: every segment must get chunks of its own. `defer`: the published program's rule, one
                    switch at each chunk start, the others wait for the next; what waits beyond the end is left out.

        Raises ScheduleError, naming the segments.
        """
        require(collisions in ("error", "defer"), f"collisions is {collisions!r}, but must be error or defer.")
        self._check_start()
        chunks = self._chunks(grid, length)
        self._check_prompts()
        asked = [grid.px_of(segment.start, chunks) for segment in self.segments]
        starts = [grid.chunk_at_or_after_px(px) for px in asked]
        if collisions == "defer":
            starts = _one_switch_per_chunk(starts)
        else:
            self.check_order()
            self._check_apart(starts, grid)
            self._check_end(starts[-1], chunks, grid)
        pins = self._placed_pins(chunks, grid)
        self._check_recalls(starts, pins, grid)
        return Plan(tuple(self._placed(starts, asked, chunks, grid)), chunks, grid, pins)

    def _placed(
        self, starts: Sequence[int], asked: Sequence[float], chunks: int, grid: ChunkGrid
    ) -> list[PlacedSegment]:
        ends = [min(end, chunks) for end in (*starts[1:], chunks)]
        placed = []
        for segment, px, start, end in zip(self.segments, asked, starts, ends, strict=True):
            if start < end:
                asked_s = segment.start.value if segment.start.unit == "s" else px / grid.fps
                delay_s = round(grid.start_s(start) - asked_s, 6)
                said = (segment.prompt, segment.switch, segment.seed, segment.start)
                blend = (segment.blend.chunks(grid), segment.blend.path) if segment.blend else (0, "linear")
                placed.append(PlacedSegment(start, end, *said, delay_s, *blend, segment.recall))
        return placed

    def _placed_pins(self, chunks: int, grid: ChunkGrid) -> tuple[PlacedPin, ...]:
        placed = []
        for pin in self.pins:
            found = PlacedPin(grid.latent_at_px(grid.px_of(pin.time, chunks)), pin.name, pin.time)
            require(
                found.frame < chunks * grid.latent_frames,
                f"{found} lies after the end of the story at {grid.start_s(chunks):.2f} s: pin an earlier moment, or "
                f"make the story longer.",
            )
            placed.append(found)
        return tuple(placed)

    def _chunks(self, grid: ChunkGrid, length: Time | None) -> int:
        length = self.length if length is None else length
        require(length is not None, "the schedule has no length: give one, for example 60s.")
        _check_length(length)
        chunks = grid.chunks_for_px(grid.px_of(length))
        require(chunks > 0, f"length is {length}, less than one video frame at {grid.fps:g} fps: make it longer.")
        return chunks

    def _name(self, index: int) -> str:
        return (
            f"segment {index + 1} ({shorten(self.segments[index].prompt)}, asked for at {self.segments[index].start})"
        )

    def _not_rising(self, later: int) -> str:
        return (
            f"{self._name(later)} is no later than {self._name(later - 1)} before it: every segment must start later "
            f"than the one before it."
        )

    def _check_names(self) -> None:
        known: set[str] = set()
        for name in (pin.name for pin in self.pins if pin.name is not None):
            require(name not in known, f"two pins have the name {name!r}: every name stands for one moment.")
            known.add(name)
        for index, segment in enumerate(self.segments):
            for name in segment.recall:
                if name not in known:
                    raise ScheduleError(
                        f"{self._name(index)} asks for [{name}], but no pin has that name: add the header "
                        f"'pin {name}: 3.5s', or take [{name}] out."
                    )

    def _check_recalls(self, starts: Sequence[int], pins: Sequence[PlacedPin], grid: ChunkGrid) -> None:
        named = {pin.name: pin for pin in pins if pin.name is not None}
        for index, start in enumerate(starts):
            for name in self.segments[index].recall:
                require(
                    named[name].frame < start * grid.latent_frames,
                    f"{self._name(index)} asks for [{name}] and starts at {grid.start_s(start):.2f} s, but "
                    f"{named[name]} is not made by then: pin an earlier moment, or ask for it in a later segment.",
                )

    def _check_start(self) -> None:
        require(bool(self.segments), "the schedule is empty: write at least one prompt.")
        first = self.segments[0].start
        require(
            first.value == 0,
            f"{self._name(0)} is the first, but the first must start at 0: set it to 0, or put another before it.",
        )

    def _check_prompts(self) -> None:
        for number, prompt in enumerate(self.full_prompts(), 1):
            require(bool(prompt.strip()), f"segment {number} has no prompt: write one, or set a global prompt.")

    def _check_apart(self, starts: Sequence[int], grid: ChunkGrid) -> None:
        for later in range(1, len(starts)):
            if starts[later] < starts[later - 1]:
                raise ScheduleError(self._not_rising(later))
            if starts[later] == starts[later - 1]:
                raise ScheduleError(
                    f"{self._name(later - 1)} and {self._name(later)} both fall on chunk {starts[later]} "
                    f"({grid.start_s(starts[later]):.2f} s): set them at least {grid.chunk_px / grid.fps:.2f} s "
                    f"apart, or leave one out."
                )

    def _check_end(self, start: int, chunks: int, grid: ChunkGrid) -> None:
        require(
            start < chunks,
            f"{self._name(len(self.segments) - 1)} would start at chunk {start} ({grid.start_s(start):.2f} s), but the "
            f"story ends at {grid.start_s(chunks):.2f} s, after {chunks} chunks: make the story longer, or start it "
            f"earlier.",
        )


def _check_length(length: object) -> None:
    if not isinstance(length, Time) or length.unit == "percent" or length.value == 0:
        said = length if isinstance(length, Time) else show(length)
        raise ScheduleError(f"length is {said}, but must be a time above 0 in s, frames, chunks or latent frames.")


def _one_switch_per_chunk(starts: Sequence[int]) -> list[int]:
    """Starts after waiting. The first prompt is no switch, so a switch at 0 replaces it at once."""
    waited, free = list(starts[:1]), 0
    for start in starts[1:]:
        waited.append(max(start, free))
        free = waited[-1] + 1
    return waited
