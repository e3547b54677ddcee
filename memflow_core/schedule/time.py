"""Points in a story's time: `Time`, and reading and writing it as text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ScheduleError, show

TIME_EXAMPLES = "10s, 0:10, 160 (a video frame), 12c (a chunk), 39l (a latent frame) or 50%"

# Every repetition below is followed by something it cannot match itself, so that matching takes linear time.
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
CLOCK = re.compile(r"([0-9]+):(?:([0-9]{1,2}):)?([0-9]{1,2}(?:\.[0-9]*)?)")
_COUNT = re.compile(rf"({_NUMBER})([ \t]*)([A-Za-z%]*)")

_SUFFIXES = {"s": "s", "frames": "", "chunks": "c", "latent": "l", "percent": "%"}
_UNITS = {
    word: unit
    for unit, words in {
        ("s", 1): "s sec secs second seconds",
        ("s", 60): "min mins minute minutes",
        ("frames", 1): "f frame frames",
        ("chunks", 1): "c chunk chunks",
        ("latent", 1): "l latent latents",
        ("percent", 1): "% percent",
    }.items()
    for word in words.split()
}


def parse_time(text: str) -> Time:
    """A time as the text form writes it. Raises ScheduleError."""
    found = find_clock(text.strip()) or find_count(text.strip())
    if found is None or found.end != len(text.strip()):
        raise ScheduleError(f"{text[:40]!r} is no time: write {TIME_EXAMPLES}.")
    return found.time()


def format_time(time: Time) -> str:
    """The shortest text that `parse_time` reads as the same time."""
    return f"{time.value!r}{_SUFFIXES[time.unit]}"


@dataclass(frozen=True)
class FoundTime:
    """A time found in a line, not checked yet: it may prove to be part of a prompt."""

    value: float
    word: str
    end: int
    source: str

    def time(self) -> Time:
        unit, factor = ("frames", 1) if not self.word else _UNITS.get(self.word.lower(), (None, 1))
        if unit is None:
            raise ScheduleError(
                f"{self.source[:40]!r} looks like a time, but its unit {self.word[:20]!r} is unknown: "
                f"write {TIME_EXAMPLES}, or put the prompt in double quotes after its time."
            )
        return Time(self.value * factor, unit)


def find_clock(line: str) -> FoundTime | None:
    found = CLOCK.match(line)
    if not found:
        return None
    # hours, minutes, seconds; or minutes, seconds
    first, middle, seconds = float(found[1]), found[2], float(found[3])
    if seconds >= 60 or float(middle or 0) >= 60:
        raise ScheduleError(f"{found[0][:40]!r} is no time: seconds and minutes after a colon must be below 60.")
    minutes = first * 60 + float(middle) if middle else first
    return FoundTime(minutes * 60 + seconds, "s", found.end(), found[0])


def find_count(line: str) -> FoundTime | None:
    found = _COUNT.match(line)
    if not found:
        return None
    # '3 robots: ...' is a prompt, '3x: ...' a slip
    if found[2] and found[3] and found[3].lower() not in _UNITS:
        return None
    return FoundTime(float(found[1]), found[3], found.end(), found[0])


MAX_TIME = 10**12

_SAID = {"s": "{} s", "frames": "frame {}", "chunks": "chunk {}", "latent": "latent frame {}", "percent": "{} %"}


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
