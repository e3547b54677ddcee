"""Times and stretches of time as people write them: `0-3s`, `1m30s`, `00:00:03,500`, `0 to 3 seconds`, `3 秒`.

All functions take folded text (see `fold`) and a place in it. Repetitions are bounded, so matching takes linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from . import words
from .errors import ScheduleError
from .time import Time, parse_time
from .words import UNITS

_COUNT = re.compile(
    rf"({words.NUMBER})([ \t]{{0,3}})([A-Za-z]{{1,12}}|[{words.CYRILLIC}]{{1,12}}|%|[{words.CJK}]{{1,4}})?"
)
_CLOCK = re.compile(words.LOOSE_CLOCK)
_TIMECODE = re.compile(r"([0-9]{1,2}:[0-9]{2}:[0-9]{2})[:;]([0-9]{2})(?![0-9])")
_TWO = re.compile(r":[0-9]{2}(?![0-9])")
_CLOCK_UNIT = re.compile(r"[ \t]?(?:s|sec|seconds|min|m)(?![A-Za-z])")
_PREFIX = re.compile(
    rf"(?:(?:{words.one_of(words.TIME_WORDS)}|t(?=[ \t]{{0,3}}[=+]))(?![A-Za-z0-9])[ \t]{{0,3}}[=:@+]?[ \t]{{0,3}}"
    r"|@[ \t]{0,3}|第[ \t]{0,3})?"
    rf"(?:(?P<unit>{words.NAMED_UNIT})[ \t]{{0,3}}[=:#]?[ \t]{{0,3}})?",
    re.IGNORECASE,
)
_JOIN = re.compile(words.JOIN, re.IGNORECASE)
_TAIL = re.compile(words.TAIL)


@dataclass(frozen=True)
class Moment:
    """A time at a place of a text.

    number, scale  their product is the value, in `unit`.
    unit           as `Time` has them; None: a bare number.
    kind           `bare`, `clock`, or `count`: a number with its unit.
    end            where it ends in the text.
    tight          whether it is written as closely as a time is: no space before its unit, two digits behind its
                   colon. `16:9` and `3 seconds later` are not.
    """

    number: float
    scale: float
    unit: str | None
    kind: str
    end: int
    tight: bool = True

    def time(self) -> Time:
        """Return it as a time; a bare number counts video frames. Raises ScheduleError."""
        return Time(round(self.number * self.scale, 9), self.unit or "frames")


@dataclass(frozen=True)
class Stretch:
    """A start, and an end where one is written. `last` is the moment that stands last in the text."""

    start: Moment
    last: Moment
    is_range: bool = False

    @property
    def kind(self) -> str:
        """`bare`, `clock` or `count`, of its start."""
        return self.start.kind

    @property
    def end(self) -> int:
        """Where it ends in the text."""
        return self.last.end

    def times(self) -> tuple[Time, Time | None]:
        """Start, and end if there is one. Raises ScheduleError for a stretch that ends before it starts."""
        start, end = self.start.time(), self.last.time() if self.is_range else None
        if end is not None and end.value <= start.value:
            raise ScheduleError(f"a range from {start} to {end} has no length: its end must be later than its start.")
        return start, end


def find_stretch(text: str, at: int) -> Stretch | None:
    """The time, or stretch of time, at a place of a folded text; None for none. Raises ScheduleError for `0s-0:75`."""
    prefix = _PREFIX.match(text, at)
    start = find_moment(text, prefix.end() if prefix else at)
    if start is None:
        return None
    named = prefix["unit"].rstrip(".").lower() if prefix and prefix["unit"] else ""
    if named and start.kind == "bare":
        unit, scale = UNITS[named]
        start = replace(start, unit=unit, scale=scale, kind="count")
    join = _JOIN.match(text, start.end)
    last = _range_end(text, join.end()) if join else None
    if join is None or last is None:
        start = _with_tail(text, start)
        return Stretch(start, start)
    last = _with_tail(text, last)
    # 'segundo 0 a 24:' is a range, 'frame 24 a 40 year old man' none
    wordy = join[0].strip().lower() in ("a", "and") and not _SEPARATED.match(text, last.end)
    spaced = join[0].strip() != join[0] and (not named or wordy)
    return _joined(start, last, spaced) or Stretch(start, start)


_SEPARATED = re.compile(r"[ \t]{0,3}(?:[:)\]|=,;\u2013\u2014-]|$)")


def stretch_at(text: str, at: int) -> Stretch | None:
    """The same; None also for what looks like a time and is wrong."""
    try:
        return find_stretch(text, at)
    except ScheduleError:
        return None


def _with_tail(text: str, moment: Moment) -> Moment:
    """A time with the word behind it that belongs to it: `5秒まで`, `00:05 Uhr`."""
    tail = _TAIL.match(text, moment.end) if moment.kind != "bare" else None
    return replace(moment, end=tail.end()) if tail else moment


def _joined(start: Moment, last: Moment, spaced: bool) -> Stretch | None:
    """The stretch between two moments; a unit that one lacks is the other's. None where the units differ."""
    if start.unit is None and last.kind == "count":
        start = replace(start, unit=last.unit, scale=last.scale, kind="count")
    elif start.unit is None and last.kind == "clock" and start.number == 0:
        start = replace(start, unit="s", kind="clock")
    elif last.unit is None and start.kind == "count" and not spaced:
        last = replace(last, unit=start.unit, scale=start.scale, kind="count")
    return Stretch(start, last, is_range=True) if start.unit == last.unit else None


def _range_end(text: str, at: int) -> Moment | None:
    """The time behind a dash. Raises ScheduleError for a clock time like `0:75`."""
    found = find_moment(text, at)
    clock = _CLOCK.match(text, at)
    if clock and (found is None or found.kind != "clock"):
        parse_time(clock[0].replace(",", "."))
    return found


def find_moment(text: str, at: int) -> Moment | None:
    """The time at a place of a folded text; None for none. Raises ScheduleError for a timecode that counts frames."""
    return _timecode(text, at) or _clock(text, at) or _compound(text, at) or _count(text, at)


def is_timecode(text: str) -> bool:
    """Whether a text starts with hours, minutes, seconds and frames."""
    found = _TIMECODE.match(text)
    return found is not None and text[found.end() : found.end() + 1] in ("", " ", "\t", ":", "-", ",")


def _timecode(text: str, at: int) -> Moment | None:
    """Hours, minutes, seconds and frames: frames only where they are 0, since they depend on the frame rate."""
    found = _TIMECODE.match(text, at)
    if not found:
        return None
    if int(found[2]):
        raise ScheduleError(
            f"the timecode {found[0]} ends in frames, which last as long as the frame rate says: write seconds, "
            f"as in {found[1]}.5."
        )
    return Moment(parse_time(found[1]).value, 1.0, "s", "clock", found.end())


def _clock(text: str, at: int) -> Moment | None:
    found = _CLOCK.match(text, at)
    if not found:
        return None
    # '16:90 wide shot' is a prompt
    if any(float(part) >= 60 for part in found[0].replace(",", ".").split(":")[1:]):
        return None
    unit = _CLOCK_UNIT.match(text, found.end())
    end = unit.end() if unit else found.end()
    return Moment(
        parse_time(found[0].replace(",", ".")).value, 1.0, "s", "clock", end, tight=bool(_TWO.search(found[0]))
    )


def _compound(text: str, at: int) -> Moment | None:
    """Several counts of falling units of time, as in `1h2m3s` or `1 min 30 s`."""
    total, below, end, parts = 0.0, 1e9, at, 0
    while found := _COUNT.match(text, at):
        word = (found[3] or "").lower()
        unit, scale = ("s", 60.0) if word == "m" else UNITS.get(word, (None, 0.0))
        if unit != "s" or not 1 <= scale < below:
            break
        total, below, end, parts = total + _number(found[1]) * scale, scale, found.end(), parts + 1
        at = end + len(text[end : end + 3]) - len(text[end : end + 3].lstrip(" "))
    return Moment(total, 1.0, "s", "count", end) if parts > 1 else None


def _count(text: str, at: int) -> Moment | None:
    found = _COUNT.match(text, at)
    if not found:
        return None
    unit = _unit_of(found[3] or "")
    if unit is None:
        return _bare(found)
    word, (name, scale) = unit
    # `3s` and `3 s` are times; of `3 street` only the number is
    return Moment(_number(found[1]), scale, name, "count", found.start(3) + len(word), tight=not found[2])


def _unit_of(word: str) -> tuple[str, tuple[str, float]] | None:
    """The unit that a word is; in Chinese or Japanese, that it starts with."""
    if word < "\u3000":
        return (word, UNITS[word.lower()]) if word.lower() in UNITS else None
    starts = (word[:length] for length in range(len(word), 0, -1))
    return next(((start, UNITS[start]) for start in starts if start in UNITS), None)


def _bare(found: re.Match[str]) -> Moment | None:
    """The number alone; a comma in it is none, and a letter right behind it makes it a word."""
    digits = found[1].partition(",")[0]
    end = found.start(1) + len(digits)
    if "," not in found[1] and found[3] and found[3] < "\u3000" and not found[2]:
        return None
    return Moment(_number(digits), 1.0, None, "bare", end)


def _number(text: str) -> float:
    return float(text.replace(",", "."))
