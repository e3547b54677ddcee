"""Times within a line: `0s: a, 4s: b, 8s: c`, or `[0s] a [4s] b`.

They part a line where they are written as the line's own time is, and go up from it. Elsewhere they are words of the
prompt; `text` refuses a schedule that would come out as one prompt with such times in it.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace

from . import words
from .errors import ScheduleError
from .fold import fold
from .limits import MOST_SEGMENTS
from .moments import Stretch, stretch_at
from .time import Time

_MOMENT = rf"(?:{words.CLOCK}|{words.COUNT}|{words.NUMBER}(?![A-Za-z0-9]))"
_RANGE = rf"(?:{words.NAMED_UNIT}[ \t])?{_MOMENT}(?:{words.JOIN}{_MOMENT})?"
_JOINT = rf"(?:^|(?<![0-9])\.|[,;|/!?)\]\u3002\uff0c\uff1b]|{words.ARROW}|[ \t])[ \t]{{0,2}}"
# `Scene 2 - 4s:`: its number is not the start of a range
_OWN_LABEL = rf"(?:{words.PART}[ \t]?{words.PART_NUMBER}[ \t]{{0,2}}[-\u2013\u2014:.]?[ \t]{{0,2}})?"
_KEY = re.compile(rf"(?P<joint>{_JOINT}){_OWN_LABEL}(?P<time>{_RANGE})[ \t]{{0,2}}(?P<mark>:|=)(?!\d)", re.IGNORECASE)
_BRACKET = re.compile(rf"(?P<joint>[(\[<])[ \t]?(?P<time>{_RANGE})[ \t]?[)\]>][ \t]{{0,2}}(?P<mark>:)?", re.IGNORECASE)
_ARROW = re.compile(rf"[ \t]{{0,2}}{words.ARROW}")
_QUOTED_KEY = re.compile("[\"'\u201c\u201d][0-9]{1,13}:?[\"'\u201c\u201d][ \t]{0,3}[:=\uff1a]")
_WORD = re.compile(
    rf"(?P<joint>(?:[,;|.]|{words.ARROW})[ \t]{{1,2}}){_OWN_LABEL}(?P<time>{_RANGE})(?P<mark>[ \t]|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class InlineTime:
    """A time within a prompt: where its separator begins and where the words behind it begin."""

    stretch: Stretch
    begin: int
    end: int
    joint: str

    @property
    def sure(self) -> bool:
        """Whether it cannot be a word of a sentence: it has a unit, or is a clock time behind a comma or stop."""
        kind = self.stretch.kind
        return kind == "count" or (kind == "clock" and self.joint.strip() not in ("", "(", "[", "<"))


def find_keys(prompt: str) -> list[InlineTime]:
    """Times in front of a colon within a prompt."""
    return _find(_KEY, prompt)


def find_brackets(prompt: str) -> list[InlineTime]:
    """Times in brackets within a prompt; weights such as `(robot:1.2)` and bare numbers are none."""
    return [time for time in _find(_BRACKET, prompt) if time.stretch.kind != "bare"]


def count_quoted_keys(prompt: str) -> int:
    """How many numbers in quotes stand in front of a colon, as in JSON that is broken."""
    return sum(1 for _ in _QUOTED_KEY.finditer(prompt))


def _find(pattern: re.Pattern[str], prompt: str) -> list[InlineTime]:
    folded = fold(prompt, len(prompt))
    if not any(character.isdigit() for character in folded.text):
        return []
    times = []
    for found in pattern.finditer(folded.text):
        stretch = stretch_at(found["time"], 0)
        if stretch is not None and stretch.end == len(found["time"]) and not _ends_range(folded.text, found):
            begin, end = folded.place(found.start("joint")), folded.place(found.end())
            times.append(InlineTime(stretch, begin, end, found["joint"]))
        if len(times) > MOST_SEGMENTS:
            break
    return times


def _ends_range(text: str, found: re.Match[str]) -> bool:
    """Whether an arrow stands between a number and the time, as in `4 -> 9s`."""
    return _ARROW.match(found["joint"]) is not None and text[: found.start()].rstrip(" \t")[-1:].isdigit()


@dataclass(frozen=True)
class Piece:
    """A stretch of a prompt with a start of its own; end is None where none is written."""

    start: Time
    end: Time | None
    prompt: str


def split_line(prompt: str, start: Time, style: tuple[str, ...], weak: bool = False) -> tuple[str, list[Piece]] | None:
    """Part a prompt at the times in it, if all are written as its own time is, and go up from it.

    start, style  of the prompt's own time; style as in `LooseLine`.
    weak          whether that time stands without a colon.

    Returns the words before the first time within, and the pieces; None where it cannot be parted.
    """
    kind, unit, opened = style
    times = find_brackets(prompt) if opened else _find(_WORD, prompt) if weak else find_keys(prompt)
    if opened:
        times = [time for time in times if time.joint == opened]
    elif kind == "bare" or kind == "clock" or weak:
        times = [time for time in times if time.joint.strip()]
    if (
        not times
        or len(times) > MOST_SEGMENTS
        or any((time.stretch.kind, time.stretch.start.unit or "") != (kind, unit) for time in times)
    ):
        return None
    try:
        spans = [time.stretch.times() for time in times]
    except ScheduleError:
        return None
    if any(_LASTING.search(prompt[max(0, time.begin - 40) : time.begin + len(time.joint)]) for time in times):
        return None
    ends = [*(time.begin + _kept(time) for time in times[1:]), len(prompt)]
    pieces = [
        Piece(*span, _trim(prompt[time.end : end], end == len(prompt)))
        for span, time, end in zip(spans, times, ends, strict=True)
    ]
    first = _trim(prompt[: times[0].begin + _kept(times[0])])
    first, pieces = _without_numbers(first, pieces)
    values = [start.value, *(piece.start.value for piece in pieces)]
    rising = all(later > before for before, later in itertools.pairwise(values))
    return (first, pieces) if rising and first and all(piece.prompt for piece in pieces) else None


def _without_numbers(first: str, pieces: list[Piece]) -> tuple[str, list[Piece]]:
    """Words without the numbers of the list that stand before the times: `1. (0s) a 2. (3s) b`."""
    prompts = [first, *(piece.prompt for piece in pieces)]
    found = [_LIST_NUMBER.search(prompt) for prompt in prompts[:-1]]
    if any(number is None or int(number[1]) != place for place, number in enumerate(found, 2)):
        return first, pieces
    bare = [
        *(prompt[: number.start()].rstrip(" \t,;|/") for prompt, number in zip(prompts, found, strict=False) if number),
        prompts[-1],
    ]
    return bare[0], [replace(piece, prompt=prompt) for piece, prompt in zip(pieces, bare[1:], strict=True)]


_LIST_NUMBER = re.compile(r"[ \t|,;/]\(?#?([0-9]{1,3})[.)]?$")


def _kept(time: InlineTime) -> int:
    """Characters of the joint that are words of the prompt before it: a full stop."""
    return 1 if time.joint[:1] in (".", "!", "?", ")", "]", "\u3002") else 0


# at the end of words: what belongs to the time behind them
_BEHIND_STOP = r"(?:^|(?<=[.!?;,|/\u3002\uff0c\uff1b]))[ \t]{0,3}"
_BEHIND_SPACE = r"(?:^|(?<=[ \t.!?;,|/*_\u3002\uff0c\uff1b]))"
_LABEL_END = r"[-\u2013:\uff1a]?[*_]{0,3}"
_NEXT_LABEL = re.compile(
    rf"(?:{_BEHIND_STOP}{words.one_of(words.TIME_WORDS)}"
    rf"|{_BEHIND_SPACE}(?:at|then|next|and|from|finally|dann|danach|puis|ensuite|luego|despu\u00e9s)"
    rf"|{_BEHIND_SPACE}[*_]{{0,3}}{words.PART}[ \t]?{words.PART_NUMBER}[*_]{{0,3}}[ \t]?{_LABEL_END}"
    rf"|{_BEHIND_SPACE}[*_]{{0,3}}[{words.CJK}]{{1,4}}[0-9]{{1,2}}[{words.CJK}]?[*_]{{0,3}}{_LABEL_END}"
    rf"|{_BEHIND_STOP}[^\W\d]{{2,12}}[ \t]?[0-9]{{1,2}}[ \t]?{_LABEL_END}"
    r"|(?:^|(?<=[ \t]))[-*_@>\u2013\u2014\u2022\u00b7\u25aa\u25cf]{1,3})$",
    re.IGNORECASE,
)
_LASTING = re.compile(words.LASTING, re.IGNORECASE)
_OPEN_EMPHASIS = re.compile(r"([*_]{1,3})[ \t]")


def _trim(words: str, last: bool = False) -> str:
    """Words without what parts them from the times around: separators, bullets, emphasis, and the next one's label."""
    bare = words.strip()
    for _ in range(0 if last else 8):
        head, tail = bare[:-60], bare[-60:]
        shorter = (head + _NEXT_LABEL.sub("", tail)).rstrip(" \t,;|/\uff0c\uff1b")
        if shorter == bare:
            break
        bare = shorter
    opened = _OPEN_EMPHASIS.match(bare)
    if opened and bare.count(opened[1]) % 2:
        bare = bare[opened.end() :].lstrip()
    return bare.rstrip(",;|/\uff0c\uff1b").rstrip()
