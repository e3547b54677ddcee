"""Prompts over time (`PromptSchedule`), checked, and placed on the grid of chunks.

A segment starts at the first chunk that starts at or after the segment's time; seconds are first rounded to the
nearest video frame. `formats` reads a schedule, `text` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

from ..config import BLEND_PATHS, SWITCHES
from .errors import ScheduleError, check_text, require, shorten, show
from .grid import ChunkGrid
from .lora import Lora, check_loras
from .notes import Note, note
from .plan import PlacedPin, PlacedSegment, Plan
from .reach import FRESH, JUMP
from .time import Time

MAX_SEED = 2**64 - 1
_BLEND_LENGTH = Time(4, "chunks")
# Letters beyond ASCII are all characters but these: spaces, signs and punctuation, and what stands for no character.
# A class of letters would follow the version of Unicode, which is not the page's. web/js/schedule/options.js has them.
_NO_LETTER = (
    r"\u0080-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7\u1680\u180e\u2000-\u206f\u2190-"
    r"\u21ff\u3000-\u3004\u3008-\u3020\u3030\u303d-\u303f\ud800-\uf8ff\ufe00-\ufe6f\ufeff\uff00-\uff0f"
    r"\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffff\U000e0000-\U0010ffff"
)
_PIN_NAME = re.compile(rf"(?:[A-Za-z_]|[^\x00-\x7f{_NO_LETTER}])(?:[A-Za-z0-9_-]|[^\x00-\x7f{_NO_LETTER}]){{0,39}}")
# switches that came later than names: a pin that has one keeps it
LATER_SWITCHES = (JUMP, FRESH)
_RESERVED = (*(switch for switch in SWITCHES if switch not in LATER_SWITCHES), "seed")


@dataclass(frozen=True)
class Blend:
    """How a `blend` switch moves from the previous prompt to the new one.

    length  chunks, or seconds, which are rounded up to whole chunks.
    path    `linear`, or `spherical`, which turns each token's embedding instead of cutting the corner.

    Raises ScheduleError for any other length or path.
    """

    length: Time = _BLEND_LENGTH
    path: str = "linear"

    def __post_init__(self) -> None:
        valid = isinstance(self.length, Time) and self.length.unit in ("chunks", "s") and self.length.value > 0
        length = self.length if isinstance(self.length, Time) else show(self.length)
        require(valid, f"a blend's length is {length}, but must be chunks, at least 1, or seconds above 0.")
        require(
            self.path in BLEND_PATHS, f"a blend's path is {show(self.path)}, but must be {' or '.join(BLEND_PATHS)}."
        )

    def chunks(self, grid: ChunkGrid) -> int:
        """Chunks that the blend takes, the first one under the new prompt alone included."""
        if self.length.unit == "chunks":
            return int(self.length.value)
        return max(1, int(-(-grid.px_of(self.length) // grid.chunk_px)))


@dataclass(frozen=True)
class Pin:
    """A moment to keep in memory: for good, or, with a name, in the segments that recall it.

    Raises ScheduleError for what is no `Time`, or no name that a pin can have.
    """

    time: Time
    name: str | None = None

    def __post_init__(self) -> None:
        require(isinstance(self.time, Time), f"a pin's time is {show(self.time)}, but must be a Time.")
        if self.name is not None:
            check_pin_name(self.name)


@dataclass(frozen=True)
class Segment:
    """One prompt, from `start` until the next segment.

    switch  how the prompt takes over, one of SWITCHES. The first segment's has no effect.
    seed    for this segment's noise; None: the stream's.
    blend   for the switch `blend`, and only for it; None there takes the defaults.
    recall  names of the pins that stand in the memory bank in this segment.
    loras   LoRAs that the model has in this segment, and no other.

    Raises ScheduleError for a field that is not as it must be.
    """

    start: Time
    prompt: str
    switch: str = "recache"
    _: KW_ONLY
    seed: int | None = None
    blend: Blend | None = None
    recall: tuple[str, ...] = ()
    loras: tuple[Lora, ...] = ()

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
        object.__setattr__(self, "loras", check_loras(self.loras))

    def _check_blend(self) -> None:
        if self.switch == "blend" and self.blend is None:
            object.__setattr__(self, "blend", Blend())
        valid = isinstance(self.blend, Blend) if self.switch == "blend" else self.blend is None
        require(valid, f"blend is {show(self.blend)}, but only the switch 'blend' has one, and it must be a Blend.")

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
    """Whether a pin can have this name."""
    return isinstance(name, str) and bool(_PIN_NAME.fullmatch(name)) and name not in _RESERVED


def check_pin_name(name: object) -> None:
    """Raise ScheduleError unless a pin can have this name."""
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
    length         of the story, where `place` gets none.
    pins           moments to keep in memory; no two have the same name.
    notes          what reading left out or took in another way than it is written. They do not count when schedules
                   are compared.

    Raises ScheduleError for a field that is not as it must be, and for a recalled name that no pin has.
    """

    segments: tuple[Segment, ...]
    global_prompt: str = ""
    length: Time | None = None
    pins: tuple[Pin, ...] = ()
    notes: tuple[Note, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name, kind in (("segments", Segment), ("pins", Pin)):
            items = tuple(getattr(self, name))
            object.__setattr__(self, name, items)
            for item in items:
                require(isinstance(item, kind), f"a schedule holds {kind.__name__}s, not a {type(item).__name__}.")
        check_text("global_prompt", self.global_prompt)
        if self.length is not None:
            _check_length(self.length)
        self._check_names()

    def with_notes(self, notes: Iterable[Note]) -> PromptSchedule:
        """The same schedule with more notes behind its own."""
        return replace(self, notes=(*self.notes, *notes))

    def full_prompts(self) -> list[str]:
        """The text to encode for each segment: the global prompt, a space, the segment's own prompt."""
        return [self.full_prompt(segment.prompt) for segment in self.segments]

    def full_prompt(self, prompt: str) -> str:
        """A prompt with the global one before it."""
        return " ".join(part for part in (self.global_prompt, prompt) if part)

    def check_order(self) -> None:
        """Raise ScheduleError for faults that no grid can mend: no segments, a first one that is not at 0, times that
        do not rise."""
        self._check_start()
        for later in range(1, len(self.segments)):
            time, before = self.segments[later].start, self.segments[later - 1].start
            if time.unit == before.unit and time.value <= before.value:
                raise ScheduleError(self._not_rising(later))

    def place(self, grid: ChunkGrid, length: Time | None = None, collisions: str = "error") -> Plan:
        """Place every segment on the first chunk that starts at or after its time, and every pin on its latent frame.

        length      of the story; None takes the schedule's own. Rounded up to whole chunks.
        collisions  `error`: every segment must get chunks of its own. `defer`: the rule of MemFlow's published
                    program, one switch at each chunk start while the others wait for the next; what waits beyond the
                    end is left out.

        Returns a Plan whose segments cover all its chunks. Raises ScheduleError, naming the segment or pin.
        """
        require(collisions in ("error", "defer"), f"collisions is {collisions!r}, but must be error or defer.")
        self._check_start()
        chunks = self._chunks(grid, length)
        self._check_prompts()
        requested = [grid.px_of(segment.start, chunks) for segment in self.segments]
        starts = [grid.chunk_at_or_after_px(px) for px in requested]
        if collisions == "defer":
            starts = _one_switch_per_chunk(starts)
        else:
            self.check_order()
            self._check_apart(starts, grid)
            self._check_end(starts[-1], chunks, grid)
        pins = self._place_pins(chunks, grid)
        self._check_recalls(starts, pins, grid)
        segments = tuple(self._place_segments(starts, requested, chunks, grid))
        told = []
        if self.segments[0].switch != "recache":
            told.append(note("the first prompt follows none: its [{0}] does nothing", self.segments[0].switch))
        plan = Plan(segments, chunks, grid, pins, self.notes)
        last = plan.story_starts[-1] * grid.latent_frames
        if count := sum(pin.name is None and pin.frame < last for pin in pins):
            told.append(note("[fresh] forgets the pins without a name before it ({0})", count))
        return replace(plan, notes=(*plan.notes, *told))

    def within(self, grid: ChunkGrid, chunks: int) -> PromptSchedule:
        """The schedule without what lies beyond the first `chunks` chunks, which is noted.

        A pin that a segment within them asks for stays, so that `place` can say what is wrong with it.

        Raises ScheduleError for segments that do not rise, or fall on the same chunk.
        """
        self.check_order()
        starts = [grid.chunk_at_or_after_px(grid.px_of(segment.start, chunks)) for segment in self.segments]
        self._check_apart(starts, grid)
        segments = self.segments[: sum(start < chunks for start in starts)]
        asked = {name for segment in segments for name in segment.recall}
        end = chunks * grid.latent_frames
        pins = [pin for pin in self.pins if pin.name in asked or grid.latent_at_px(grid.px_of(pin.time, chunks)) < end]
        told, end_s = [], f"{grid.start_s(chunks):.2f}"
        if count := len(self.segments) - len(segments):
            told.append(note("the story ends at {0} s: later prompts left out ({1})", end_s, count))
        if self.length is not None and grid.chunks_for_px(grid.px_of(self.length)) > chunks:
            told.append(
                note("the story ends at {0} s, before the schedule's own length of {1}", end_s, str(self.length))
            )
        if count := len(self.pins) - len(pins):
            told.append(note("the story ends at {0} s: later pins left out ({1})", end_s, count))
        if not told:
            return self
        return replace(self, segments=segments, pins=tuple(pins)).with_notes(told)

    def _place_segments(
        self, starts: Sequence[int], requested: Sequence[float], chunks: int, grid: ChunkGrid
    ) -> list[PlacedSegment]:
        ends = [min(end, chunks) for end in (*starts[1:], chunks)]
        placed = []
        for segment, px, start, end in zip(self.segments, requested, starts, ends, strict=True):
            if start >= end:
                continue
            requested_s = segment.start.value if segment.start.unit == "s" else px / grid.fps
            placed.append(
                PlacedSegment(
                    start,
                    end,
                    prompt=segment.prompt,
                    switch=segment.switch,
                    seed=segment.seed,
                    requested=segment.start,
                    delay_s=round(grid.start_s(start) - requested_s, 6),
                    blend_chunks=segment.blend.chunks(grid) if segment.blend else 0,
                    blend_path=segment.blend.path if segment.blend else "linear",
                    recall=segment.recall,
                    loras=segment.loras,
                )
            )
        return placed

    def _place_pins(self, chunks: int, grid: ChunkGrid) -> tuple[PlacedPin, ...]:
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
        if length is None:
            raise ScheduleError("the schedule has no length: give one, for example 60s.")
        _check_length(length)
        chunks = grid.chunks_for_px(grid.px_of(length))
        require(chunks > 0, f"length is {length}, less than one video frame at {grid.fps:g} fps: make it longer.")
        return chunks

    def _label(self, index: int) -> str:
        """A segment's number, prompt and time, for error messages."""
        segment = self.segments[index]
        return f"segment {index + 1} ({shorten(segment.prompt)}, asked for at {segment.start})"

    def _not_rising(self, later: int) -> str:
        return (
            f"{self._label(later)} is no later than {self._label(later - 1)} before it: every segment must start later "
            f"than the one before it."
        )

    def _check_names(self) -> None:
        known: set[str] = set()
        for name in (pin.name for pin in self.pins if pin.name is not None):
            require(name not in known, f"two pins have the name {name!r}: every name stands for one moment.")
            known.add(name)
        for index, segment in enumerate(self.segments):
            require(
                segment.switch not in LATER_SWITCHES or segment.switch not in known,
                f"{self._label(index)} has the switch {segment.switch!r}, but a pin has that name too, and both are "
                f"written [{segment.switch}]: give the pin another name.",
            )
            for name in segment.recall:
                if name not in known:
                    raise ScheduleError(
                        f"{self._label(index)} asks for [{name}], but no pin has that name: add the header "
                        f"'pin {name}: 3.5s', or take [{name}] out."
                    )

    def _check_recalls(self, starts: Sequence[int], pins: Sequence[PlacedPin], grid: ChunkGrid) -> None:
        named = {pin.name: pin for pin in pins if pin.name is not None}
        began, fresh = 0, ""
        for index, start in enumerate(starts):
            if index and self.segments[index].switch == FRESH:
                began, fresh = start * grid.latent_frames, f"at {grid.start_s(start):.2f} s"
            for name in self.segments[index].recall:
                require(
                    named[name].frame >= began,
                    f"{self._label(index)} asks for [{name}], but the [{FRESH}] prompt {fresh} forgets all that was "
                    f"made before it: pin a moment after it, or write [cut] in place of [{FRESH}].",
                )
                require(
                    named[name].frame < start * grid.latent_frames,
                    f"{self._label(index)} asks for [{name}] and starts at {grid.start_s(start):.2f} s, but "
                    f"{named[name]} is not made by then: pin an earlier moment, or ask for it in a later segment.",
                )

    def _check_start(self) -> None:
        require(bool(self.segments), "the schedule is empty: write at least one prompt.")
        require(
            self.segments[0].start.value == 0,
            f"{self._label(0)} is the first, but the first must start at 0: set it to 0, or put another before it.",
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
                    f"{self._label(later - 1)} and {self._label(later)} both fall on chunk {starts[later]} "
                    f"({grid.start_s(starts[later]):.2f} s): set them at least {grid.chunk_px / grid.fps:.2f} s "
                    f"apart, or leave one out."
                )

    def _check_end(self, start: int, chunks: int, grid: ChunkGrid) -> None:
        require(
            start < chunks,
            f"{self._label(len(self.segments) - 1)} would start at chunk {start} ({grid.start_s(start):.2f} s), but "
            f"the story ends at {grid.start_s(chunks):.2f} s, after {chunks} chunks: make the story longer, or start "
            f"it earlier.",
        )


def _check_length(length: object) -> None:
    if not isinstance(length, Time) or length.unit == "percent" or length.value == 0:
        shown = length if isinstance(length, Time) else show(length)
        raise ScheduleError(f"length is {shown}, but must be a time above 0 in s, frames, chunks or latent frames.")


def _one_switch_per_chunk(starts: Sequence[int]) -> list[int]:
    """Starts after waiting. The first prompt is no switch, so a switch at 0 replaces it at once."""
    waited = list(starts[:1])
    free = 0
    for start in starts[1:]:
        waited.append(max(start, free))
        free = waited[-1] + 1
    return waited
