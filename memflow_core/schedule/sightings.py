"""Times within a line with what stands around them, found by the readers wherever a number stands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from . import words
from .fold import fold
from .moments import Stretch, stretch_at

CLOCK, SHORT, LONG = "clock", "short", "long"
_SHORT_UNITS = "s sec secs sek seg segs ms 秒 초 с сек"
_FRAME_UNITS = "f fr"
# characters that are looked at on both sides, and words that may be a label
_NEAR, _FEW = 40, 2

# part of no word, of no larger number, of no price; its unit may stand before it
_NUMBER = re.compile(
    rf"(?<![0-9A-Za-z.$\u20ac])(?<![A-Za-z]_)(?<![0-9]:)(?:{words.NAMED_UNIT}[ \t]?)?"
    rf"(?:(?<![0-9],)[0-9]|(?={words.CLOCK})[0-9])",
    re.IGNORECASE,
)
_CHINESE_SECONDS = re.compile(rf"[{words.CHINESE_DIGITS}]{{1,3}}(?=\u79d2)")
# words on a sign: 'a sign "0-3s"'
_QUOTED = re.compile(r"(?<=[A-Za-z][ \t])\"[^\"\n]{1,80}\"")

_MARKS = "-+*>#|_~`([{<\"' \t\u2022\u00b7\u25aa\u25cf\u300c\u300e\u00ab\u2502"
_BRACKETS = "|@#([{<\"'`*_\u300c\u300e\u00ab\u2502\u2192"
_STOPS = ",;:/=>\u3002\u3001\u2022.!?"
_KEY_SIGNS = ":|)]}<>=\u2192\u300d\u300f\u00bb\"'`*\u2502\u2022-\u2013\u2014"
_NAMED_PART = re.compile(
    r"(?:^|[;,|.\t])[^\w]{0,6}(?:[^\W\d_]{1,12}[ \t_]?|#)[0-9]{1,3}(?:/[0-9]{1,3})?[^\w]{1,4}(?:[^\W\d]{2,7}[ \t])?$"
)
_TAGS = re.compile(r"</?[A-Za-z][^<>]{0,30}>")
# words that belong to the time behind them
_LEADING = re.compile(
    rf"(?:^|(?<=[^A-Za-z]))(?:{words.one_of(words.TIME_WORDS)}|after|um|nach|first|next|{words.PART}[ \t]?[0-9]{{0,3}}"
    r"|approx\.?|ca\.?|about|(?:die )?(?:ersten|n\u00e4chsten)"
    r"|(?<![^ \t(\[])[0-9]{1,2}[A-Z]?(?=[ \t]))[ \t]{0,2}$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sighting:
    """A time within a line, and what stands around it.

    kind    CLOCK; SHORT: `3s`; LONG: `3 seconds`, which sentences hold as well.
    zero    whether it is the start of a story.
    range   whether it has an end that is surely one.
    of_day  whether it may be an hour of the day; of_film: it cannot, as 0:05.
    before  as much of the line before it as matters; whole: that is all of it.
    after   the same behind it, without spaces; last: nothing but marks follow.
    """

    kind: str
    zero: bool
    range: bool
    of_day: bool
    of_film: bool
    before: str
    whole: bool
    after: str
    last: bool

    @cached_property
    def lead(self) -> str:
        """What stands before it, without tags and the words that belong to it, such as `at`."""
        return _LEADING.sub("", _TAGS.sub("", self.before)).rstrip("~\u2248 \t")

    @property
    def opens(self) -> bool:
        """Whether it is the first of its line, but for marks and a label."""
        return self.whole and not self.lead.strip(_MARKS)

    @property
    def apart(self) -> bool:
        """Whether it stands in a bracket or behind a bar."""
        return self.lead[-1:] in tuple(_BRACKETS)

    @property
    def parted(self) -> bool:
        """Whether it stands behind a separator."""
        dash = self.lead[-1:] in tuple("-\u2013\u2014\u00b7") and self.lead != self.before
        return self.apart or dash or self.lead[-1:] in tuple(_STOPS)

    @property
    def keyed(self) -> bool:
        """Whether a colon, dash, arrow or bracket stands behind it."""
        return self.after[:1] in tuple(_KEY_SIGNS)

    @property
    def led(self) -> bool:
        """Whether a word that belongs to it stands before it, such as `at`, or a label."""
        return self.lead != self.before.rstrip()

    @property
    def named(self) -> bool:
        """Whether the name of a part and its number stand before it, and nothing else: `Kamera 2 0:03`."""
        return self.whole and _NAMED_PART.search(self.before) is not None

    @property
    def early(self) -> bool:
        """Whether a few words at most stand before it in its line: `Finally 0:07`."""
        return self.whole and len(self.before.split()) <= _FEW


def is_timely(text: str) -> bool:
    """Whether a text holds any digit or sign that a time may be written with."""
    return any(one.isdecimal() or one == "\u79d2" for one in text)


def plain(line: str) -> str:
    """A line with plain digits and folded marks, and without words in quotes as on a sign."""
    folded = fold(line, len(line)).text.strip()
    if not folded.isascii():
        folded = _CHINESE_SECONDS.sub(lambda digits: "0" if digits[0] == "零" else "1", folded)
        folded = "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in folded)
    return _QUOTED.sub("", folded) if '"' in folded else folded


def sightings(line: str) -> Iterator[Sighting]:
    """All clock times and counts with a unit in a line."""
    end = 0
    for number in _NUMBER.finditer(line):
        at = number.start()
        found = _sighting(line, at) if at >= end else None
        if found is not None:
            one, end = found
            yield one


def _sighting(line: str, at: int) -> tuple[Sighting, int] | None:
    """The time at a place of a line, and where it ends; None for no time."""
    stretch = stretch_at(line, at)
    if stretch is not None and _NUMBERED_UNIT.match(line, at):
        # 'Camera 1 Second 0' has its time behind its number
        return None
    if stretch is None or stretch.kind == "bare":
        # '0:75' is none, but meant as one
        broken = _BROKEN_CLOCK.match(line, at)
        if broken is None:
            return None
        return _seen(line, at, broken.end(), CLOCK, zero=False, is_range=bool(broken["join"])), broken.end()
    if stretch.start.unit not in ("s", "frames"):
        return None
    kind = CLOCK if stretch.kind == "clock" else SHORT if is_short(stretch, line) else LONG
    is_range = stretch.is_range and not _WORDY.search(line[at : stretch.end])
    long_s = stretch.last.number * stretch.last.scale - stretch.start.number * stretch.start.scale
    if stretch.is_range and kind != CLOCK and long_s <= 0:
        # the number of a label: 'Frame 1 - 0 seconds'
        return None
    end = stretch.end if is_range else stretch.start.end
    if not is_range and (is_decade(stretch, line[at:end]) or (kind == CLOCK and not stretch.start.tight)):
        return None
    is_pair = kind == CLOCK and _PAIR.match(line, end) is not None
    return _seen(line, at, end, kind, zero=not stretch.start.number, is_range=is_pair or is_range), end


def _seen(line: str, at: int, end: int, kind: str, *, zero: bool, is_range: bool) -> Sighting:
    written = line[at:end]
    return Sighting(
        kind=kind,
        zero=zero,
        range=is_range,
        of_film=kind == CLOCK and re.match("0{1,2}:", written) is not None,
        of_day=kind == CLOCK and HOUR_OF_DAY.match(written) is not None,
        before=line[max(0, at - _NEAR) : at],
        whole=at <= _NEAR,
        after=line[end : end + _NEAR].lstrip(" \t"),
        last=end + _NEAR >= len(line) and not line[end:].strip(_CLOSERS),
    )


_NUMBERED_UNIT = re.compile(rf"[0-9]{{1,3}}[ \t]{words.NAMED_UNIT}[ \t][0-9]", re.IGNORECASE)
_BROKEN_CLOCK = re.compile(rf"{words.CLOCK}(?P<join>{words.JOIN}{words.CLOCK})?")
HOUR_OF_DAY = re.compile(r"(?:0?[6-9]|1[0-9]|2[0-3]):[0-9]{2}(?![0-9:.,])")
# '5s and 6s' are two
_WORDY = re.compile(r"[ \t](?:and|a)[ \t]")
# a clock time behind another: '0:00,0:03'
_PAIR = re.compile(rf"[,/:]{words.CLOCK}|:[0-9]{{2}}")
_CLOSERS = ")]}>*_.,;:!? \t\"'`|\u300d\u300f\u00bb\u2502"


def is_short(stretch: Stretch, line: str) -> bool:
    """Whether the unit of a stretch in a line is written as a sign, `3s`, and not as a word, `3 seconds`."""
    word = _UNIT_AT_END.search(line[max(0, stretch.end - _LONGEST_UNIT) : stretch.end])
    unit = word[0].lower() if word else ""
    return unit in _SHORT_UNITS.split() or (unit in _FRAME_UNITS.split() and not stretch.start.number)


_LONGEST_UNIT = 13
_UNIT_AT_END = re.compile(rf"(?:[A-Za-z]{{1,12}}|[{words.CYRILLIC}]{{1,12}}|[{words.CJK}])$")


def is_decade(stretch: Stretch, written: str) -> bool:
    """Whether it is a decade, as in `80s neon`."""
    start = stretch.start
    return start.unit == "s" and written[-1:] == "s" and start.number >= 20 and start.number % 10 == 0
