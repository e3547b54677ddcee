"""Points in a story's time: the class `Time`, read from text and written as text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ScheduleError, show
from .words import TEXT_UNITS

MAX_TIME = 10**12

_PHRASES = {"s": "{} s", "frames": "frame {}", "chunks": "chunk {}", "latent": "latent frame {}", "percent": "{} %"}


@dataclass(frozen=True)
class Time:
    """A point in the story, or a length.

    value  a number from 0 to MAX_TIME (percent: to 100). A whole one is kept as int.
    unit   `s`; `frames`: video frames; `chunks`; `latent`: latent frames; `percent` of the story's chunks.

    Raises ScheduleError for any other value or unit, and for chunks or latent frames that are not whole.
    """

    value: float
    unit: str

    def __post_init__(self) -> None:
        if not isinstance(self.unit, str) or self.unit not in _PHRASES:
            raise ScheduleError(f"time unit is {show(self.unit)}, but must be one of {', '.join(_PHRASES)}.")
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
        return _PHRASES[self.unit].format(self.value if isinstance(self.value, int) else f"{self.value:.10g}")


# -- as text ----------------------------------------------------------------------------------------------------------

TIME_EXAMPLES = "10s, 0:10, 160 (a video frame), 12c (a chunk), 39l (a latent frame) or 50%"

# Every repetition below is followed by something it cannot match itself, so that matching takes linear time.
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_CLOCK = re.compile(r"([0-9]+):(?:([0-9]{1,2}):)?([0-9]{1,2}(?:\.[0-9]*)?)")
_COUNT = re.compile(rf"({_NUMBER})([ \t]*)([A-Za-z%]*)")

_SUFFIXES = {"s": "s", "frames": "", "chunks": "c", "latent": "l", "percent": "%"}


def parse_time(text: str) -> Time:
    """Read a time as the text form of schedules writes it, for example `10s`. Raises ScheduleError."""
    text = text.strip()
    if clock := _CLOCK.fullmatch(text):
        return _clock_time(clock)
    count = match_count(text)
    if count is None or count.end != len(text):
        raise ScheduleError(f"{text[:40]!r} is no time: write {TIME_EXAMPLES}.")
    return count.time()


def format_time(time: Time) -> str:
    """Write the shortest text that `parse_time` reads as the same time."""
    return f"{time.value!r}{_SUFFIXES[time.unit]}"


def clock_end(line: str) -> int | None:
    """Where a clock time (`0:10`, `1:02.5`, `1:00:00`) at the start of a line ends; None if there is none."""
    clock = _CLOCK.match(line)
    return clock.end() if clock else None


def _clock_time(clock: re.Match[str]) -> Time:
    # hours, minutes, seconds; or minutes, seconds
    first, middle, seconds = float(clock[1]), clock[2], float(clock[3])
    if seconds >= 60 or float(middle or 0) >= 60:
        raise ScheduleError(f"{clock[0][:40]!r} is no time: seconds and minutes after a colon must be below 60.")
    minutes = first * 60 + float(middle) if middle else first
    return Time(minutes * 60 + seconds, "s")


@dataclass(frozen=True)
class CountMatch:
    """A number and a unit at the start of a line. They are not checked yet, since they may be part of a prompt.

    value, word  the number, and the unit's word as it is written, empty for none.
    end          where both end in the line.
    source       their text, for error messages.
    """

    value: float
    word: str
    end: int
    source: str

    def time(self) -> Time:
        """Return them as a time; without a unit they count video frames. Raises ScheduleError."""
        unit, factor = ("frames", 1) if not self.word else TEXT_UNITS.get(self.word.lower(), (None, 1))
        if unit is None:
            raise ScheduleError(
                f"{self.source[:40]!r} looks like a time, but its unit {self.word[:20]!r} is unknown: "
                f"write {TIME_EXAMPLES}, or put the prompt in double quotes after its time, or the whole "
                f"text if it holds no time."
            )
        return Time(self.value * factor, unit)


def match_count(line: str) -> CountMatch | None:
    """Match a number and a unit at the start of a line, as in `10s`, `160` or `50 %`; None if there is none."""
    found = _COUNT.match(line)
    if not found:
        return None
    # '3 robots: ...' is a prompt, '3x: ...' a slip
    if found[2] and found[3] and found[3].lower() not in TEXT_UNITS:
        return None
    return CountMatch(value=float(found[1]), word=found[3], end=found.end(), source=found[0])
