"""Prompts over time, and where they fall on the grid of chunks.

A segment takes effect at the first chunk that starts at or after the time asked for; seconds are first rounded to
the nearest video frame. `schedule_text` writes and reads schedules as text, `schedule_formats` reads those of others.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .config import SWITCHES

# the Wan VAE's time compression; the first latent frame is one video frame, every other one this many
PX_PER_LATENT = 4
MAX_TIME = 10**12
MAX_SEED = 2**64 - 1

_SAID = {"s": "{} s", "frames": "frame {}", "chunks": "chunk {}", "latent": "latent frame {}", "percent": "{} %"}


class ScheduleError(ValueError):
    """A schedule that cannot be read or placed; one sentence with the fix."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ScheduleError(message)


def show(value: object) -> str:
    """Any value for a message, cut short, however large or deeply nested it is."""
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):  # an int with thousands of digits, for one
        return f"a {type(value).__name__} of great size"


def shorten(prompt: str, limit: int = 40) -> str:
    """A prompt quoted for a message, cut to `limit` characters."""
    return repr(prompt if len(prompt) <= limit else prompt[: limit - 3] + "...")


@dataclass(frozen=True)
class Time:
    """A point of the story, or a length.

    unit  `s`; `frames`: video frames; `chunks`; `latent`: latent frames; `percent` of the story's chunks.

    A whole `value` is kept as int. Raises ScheduleError unless it is a number from 0 to MAX_TIME (percent: 100),
    and whole for chunks and latent frames.
    """

    value: float
    unit: str

    def __post_init__(self) -> None:
        if not isinstance(self.unit, str) or self.unit not in _SAID:
            raise ScheduleError(f"time unit is {show(self.unit)}, but must be one of {', '.join(_SAID)}.")
        number = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        high = 100 if self.unit == "percent" else MAX_TIME
        if not number or not 0 <= self.value <= high:
            raise ScheduleError(f"time is {show(self.value)} ({self.unit}), but must be a number from 0 to {high}.")
        whole = self.value == int(self.value)
        if not whole and self.unit in ("chunks", "latent"):
            raise ScheduleError(
                f"time is {self.value} ({self.unit}), but must be whole: write seconds for anything in between."
            )
        if whole:
            object.__setattr__(self, "value", int(self.value))

    def __str__(self) -> str:
        return _SAID[self.unit].format(self.value if isinstance(self.value, int) else f"{self.value:.10g}")


@dataclass(frozen=True)
class Segment:
    """One prompt, from `start` until the next segment.

    switch  how the prompt takes over, one of SWITCHES. It means nothing for the first segment.
    seed    for this segment's noise; None: the stream's.
    """

    start: Time
    prompt: str
    switch: str = "recache"
    seed: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.start, Time):
            raise ScheduleError(f"segment start is {show(self.start)}, but must be a Time.")
        check_text("prompt", self.prompt)
        if self.switch not in SWITCHES:
            raise ScheduleError(f"switch is {show(self.switch)}, but must be one of {', '.join(SWITCHES)}.")
        if self.seed is not None and not _is_seed(self.seed):
            raise ScheduleError(
                f"seed is {show(self.seed)}, but must be a whole number from 0 to {MAX_SEED}, or left out."
            )


def _is_seed(seed: object) -> bool:
    return isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED


def check_text(name: str, text: object) -> None:
    """Raise ScheduleError unless `text` is a str that can be written as UTF-8."""
    if not isinstance(text, str):
        raise ScheduleError(f"{name} is {show(text)}, but must be text.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ScheduleError(
            f"{name} holds half a character (a lone surrogate) at position {error.start}: type it anew."
        ) from None


@dataclass(frozen=True)
class ChunkGrid:
    """Where chunks start, in video frames and seconds.

    latent_frames  latent frames of a chunk, F. The first chunk has 1 + 4 (F - 1) video frames, every later one 4 F.
    fps            video frames a second.
    """

    latent_frames: int = 3
    fps: float = 16.0

    def __post_init__(self) -> None:
        whole = isinstance(self.latent_frames, int) and not isinstance(self.latent_frames, bool)
        _require(
            whole and 1 <= self.latent_frames <= 1024,
            f"a chunk has {show(self.latent_frames)} latent frames, but must have a whole number from 1 to 1024.",
        )
        _require(
            isinstance(self.fps, (int, float)) and 0.01 <= self.fps <= 10_000,
            f"fps is {show(self.fps)}, but must be from 0.01 to 10000.",
        )

    @property
    def chunk_px(self) -> int:
        """Video frames of every chunk but the first."""
        return PX_PER_LATENT * self.latent_frames

    def start_px(self, chunk: int) -> int:
        """First video frame of a chunk."""
        return chunk * self.chunk_px - (PX_PER_LATENT - 1) if chunk > 0 else 0

    def start_s(self, chunk: int) -> float:
        return self.start_px(chunk) / self.fps

    def px_frames(self, chunks: int) -> int:
        """Video frames of that many chunks."""
        return self.start_px(chunks)

    def chunk_at_or_after_px(self, px: float) -> int:
        """The first chunk that starts at or after a video frame."""
        return int(-(-(px + PX_PER_LATENT - 1) // self.chunk_px)) if px > 0 else 0

    def chunk_at_or_after_latent(self, frame: int) -> int:
        """The first chunk that starts at or after a latent frame."""
        return -(-frame // self.latent_frames)

    def chunks_for_px(self, frames: float) -> int:
        """Chunks needed for that many video frames."""
        return self.chunk_at_or_after_px(frames)

    def px_of(self, time: Time, chunks: int = 0) -> float:
        """A time in video frames. `percent` is taken of `chunks`, so that equal shares get equal numbers of chunks."""
        if time.unit == "s":
            return math.floor(time.value * self.fps + 0.5)
        if time.unit == "frames":
            return time.value
        if time.unit == "chunks":
            return self.start_px(time.value)
        latent = time.value
        if time.unit == "percent":
            # a third of 9 chunks must be 3, which 33.333333333333336 % is not quite
            latent = round(time.value * chunks * self.latent_frames / 100, 6)
        return max(0, PX_PER_LATENT * latent - (PX_PER_LATENT - 1))


@dataclass(frozen=True)
class PlacedSegment:
    """A segment on the grid: chunks from `start_chunk` up to, not including, `end_chunk`.

    delay_s  how much later than asked for it starts, in seconds.
    """

    start_chunk: int
    end_chunk: int
    prompt: str
    switch: str
    seed: int | None
    requested: Time
    delay_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Which prompt each of `chunks` chunks is made under."""

    segments: tuple[PlacedSegment, ...]
    chunks: int
    grid: ChunkGrid

    def report(self) -> str:
        """Where each prompt was asked for and where it fell, one line each, for people."""
        frames, fps = self.grid.px_frames(self.chunks), self.grid.fps
        lines = [f"{self.chunks} chunks, {frames} video frames, {frames / fps:.2f} s at {fps:g} fps"]
        for placed in self.segments:
            delay = f" ({placed.delay_s:+.2f} s)" if abs(placed.delay_s) >= 0.005 else ""
            lines.append(
                f"{shorten(placed.prompt)} asked for at {placed.requested}, starts at chunk "
                f"{placed.start_chunk}, {self.grid.start_s(placed.start_chunk):.2f} s{delay}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """The same for programs, fit for JSON."""
        frames = self.grid.px_frames(self.chunks)
        segments = [
            asdict(placed)
            | {"start_frame": self.grid.start_px(placed.start_chunk), "start_s": self.grid.start_s(placed.start_chunk)}
            for placed in self.segments
        ]
        return {
            "chunks": self.chunks,
            "latent_frames_per_chunk": self.grid.latent_frames,
            "fps": self.grid.fps,
            "video_frames": frames,
            "seconds": frames / self.grid.fps,
            "segments": segments,
        }


@dataclass(frozen=True)
class PromptSchedule:
    """Prompts over time.

    segments       in the order of the story. May be empty while a schedule is being built.
    global_prompt  put before every prompt.
    length         of the story, where whoever places it names none.
    """

    segments: tuple[Segment, ...]
    global_prompt: str = ""
    length: Time | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.segments))
        for segment in self.segments:
            _require(isinstance(segment, Segment), f"a schedule holds Segments, not a {type(segment).__name__}.")
        check_text("global_prompt", self.global_prompt)
        if self.length is not None:
            _check_length(self.length)

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
        _require(collisions in ("error", "defer"), f"collisions is {collisions!r}, but must be error or defer.")
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
        return Plan(tuple(self._placed(starts, asked, chunks, grid)), chunks, grid)

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
                placed.append(PlacedSegment(start, end, *said, delay_s))
        return placed

    def _chunks(self, grid: ChunkGrid, length: Time | None) -> int:
        length = self.length if length is None else length
        _require(length is not None, "the schedule has no length: give one, for example 60s.")
        _check_length(length)
        chunks = grid.chunks_for_px(grid.px_of(length))
        _require(chunks > 0, f"length is {length}, less than one video frame at {grid.fps:g} fps: make it longer.")
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

    def _check_start(self) -> None:
        _require(bool(self.segments), "the schedule is empty: write at least one prompt.")
        first = self.segments[0].start
        _require(
            first.value == 0,
            f"{self._name(0)} is the first, but the first must start at 0: set it to 0, or put another before it.",
        )

    def _check_prompts(self) -> None:
        for number, prompt in enumerate(self.full_prompts(), 1):
            _require(bool(prompt.strip()), f"segment {number} has no prompt: write one, or set a global prompt.")

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
        _require(
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
