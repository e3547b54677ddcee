"""A line with a time in other shapes than the text form's: `- **0-3s** - a`, `[0:00-0:03] a`, `Scene 1 (3s): a`.

How sure it is that a time is meant is told apart, since a prompt may start with a number, too:

STRONG  in brackets, in front of a colon or arrow, or alone on its line.
WEAK    a clock time or a count with its unit, and then words: `0:05 a robot`.
FAINT   what starts many sentences: `80s neon`, `(1) a`, `16:9 wide`, `3 seconds later`.

The last two are read where a whole text is written so, and counts up from 0; so are those of `labelled`, LABELLED.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import words
from .errors import ScheduleError
from .fold import HEAD, Folded, fold, unwrap_curly
from .line import OPTION, OPTION_LIKE
from .moments import Stretch, find_stretch
from .time import Time

LABELLED, FAINT, WEAK, STRONG = 0, 1, 2, 3

_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">", '"': '"', "'": "'"}
_MARK = re.compile(
    r"[ \t]{0,20}(?:(?:[-+*>|\u2013\u2014]|#{2,6}|[0-9]{1,3}[.)]|\[[ xX]?\])[ \t]{1,20}"
    r"|[\u2022\u00b7\u25aa\u25cf\u25e6\u2023\u2460-\u249b\u2776-\u2793]|[0-9]{1,3}\u3001|[*_~`]{1,3}|\|)"
)
_COUNTER = "[个個镜鏡场場片段幕分]"
_LABEL = re.compile(
    rf"(?:{words.LABEL}|第(?=[0-9{words.CHINESE_DIGITS}]{{1,3}}[ \t]?{_COUNTER}))[ \t]{{0,3}}(?:{words.PART_NUMBER})?"
    r"(?:[个個]?(?:镜头|鏡頭|场景|片段|幕|段|场))?"
    r"[ \t]{0,3}(?:[-\u2013\u2014:.,|][ \t]{0,3})?[*_~`]{0,3}[ \t]{0,3}",
    re.IGNORECASE,
)
_CLOSE = re.compile(r"[ \t]{0,3}[*_~`]{0,3}[ \t]{0,3}")
_SEPARATOR = re.compile(
    rf"[ \t]{{0,20}}[*_~`]{{0,3}}[ \t]{{0,20}}(?:(?P<sure>[.)\]]?:|{words.ARROW}|\||;|=|\t)"
    rf"|(?P<soft>[,/\\]|[.)](?=[ \t])|{words.DASH}{{1,2}}(?=[ \t])|[\u2014>]))"
)
_EMPHASIS = re.compile(r"[ \t]{0,3}(?:\*{1,3}|_{1,3}|~~|`)")


@dataclass(frozen=True)
class LooseLine:
    """What a line with a time says.

    start, end  end is None where none is written.
    options     as they stand in brackets.
    prompt      its words, as they are written.
    strength    STRONG, WEAK, FAINT or LABELLED.
    style       how the time is written, alike in all lines of one list.
    labelled    whether words such as `Scene 1` stand before the time, which are left out.
    readable    False where more than a time stands in the brackets, as in `(0-3s, wide)`.
    """

    start: Time
    end: Time | None
    options: list[str]
    prompt: str
    strength: int
    style: tuple[str, ...]
    labelled: bool
    readable: bool = True


@dataclass(frozen=True)
class _Head:
    """A time at the start of a line.

    opened    the bracket or quote around it, "" for none; `closed` says whether it ends right behind the time.
    end       behind the time and its bracket.
    emphasis  marks of bold type that began before it.
    """

    stretch: Stretch
    opened: str
    end: int
    labelled: bool
    emphasis: str
    closed: bool = True


def match_loose_line(line: str) -> LooseLine | None:
    """Read a line that starts with a time in any shape; None for any other. Raises ScheduleError."""
    folded = fold(line)
    head = _find_head(folded.text)
    if head is None:
        return _match_heading(folded.text)
    options, at = _options(folded.text, _behind_marks(folded.text, head.end))
    separator = _SEPARATOR.match(folded.text, at)
    strength = _strength(folded.text, head, separator, at)
    if strength is None:
        return None
    prompt = prompt_behind(line, folded, separator.end() if separator else at, head.emphasis)
    start, end = _times(head.stretch, strength)
    style = (head.stretch.kind, head.stretch.start.unit or "", head.opened)
    return LooseLine(start, end, options, prompt, strength, style, head.labelled, head.closed)


def loose_or_none(line: str) -> LooseLine | None:
    """The same for a line that may be anything: None where its time is none, as in `7-3: the final score`."""
    try:
        return match_loose_line(line)
    except ScheduleError:
        return None


def is_timed(line: str) -> bool:
    """Whether a line starts with a time that is surely one, in any shape."""
    found = loose_or_none(line) if line.strip() else None
    return found is not None and found.strength == STRONG


_HEADING = re.compile(
    rf"#{{2,6}}[ \t]|[*_]{{2}}[^*]{{1,100}}[*_]{{2}}:?$|[*_\[( \t]{{0,4}}{words.PART}[ \t]?{words.PART_NUMBER}",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"[(\[{|\u2013\u2014:,]|(?<=[ \t])-(?=[ \t])|[ \t](?=[0-9])")


def _match_heading(text: str) -> LooseLine | None:
    """The time that ends a heading, `### Scene 1: The Den (0-3s)`, whose prompt stands below it."""
    if len(text) >= HEAD or not _HEADING.match(text):
        return None
    for before in _BEFORE.finditer(text):
        stretch = find_stretch(text, before.end() + (text[before.end() : before.end() + 1] == " "))
        if stretch is None or stretch.kind == "bare" or text[stretch.end :].strip(" \t)]}*_:.#"):
            continue
        # of the words of a sentence only a range, or what stands apart, is a time
        if stretch.is_range or ((stretch.start.tight or text[0] == "#") and before[0].strip()):
            start, end = stretch.times()
            style = (stretch.kind, stretch.start.unit or "", "(")
            return LooseLine(start, end, [], "", STRONG, style, True)
    return None


def _times(stretch: Stretch, strength: int) -> tuple[Time, Time | None]:
    if strength == STRONG or not stretch.is_range:
        return stretch.times()
    try:
        return stretch.times()
    except ScheduleError:
        # '10-5 robots' is a prompt
        return stretch.start.time(), None


def _find_head(text: str, at: int = 0, emphasis: str = "", most: int = 8) -> _Head | None:
    """The time at the start of a folded line, behind list marks, emphasis and a label."""
    mark = _MARK.match(text, at)
    if mark and most:
        is_emphasis = mark[0].strip()[:1] in ("*", "_", "~", "`") and not mark[0].endswith((" ", "\t"))
        inner = _find_head(text, mark.end(), mark[0].strip() if is_emphasis else emphasis, most - 1)
        if inner is not None:
            return inner
    return _head_at(text, at, emphasis)


def _head_at(text: str, at: int, emphasis: str) -> _Head | None:
    while text[at : at + 1] in (" ", "\t") and at < len(text):
        at += 1
    label = _LABEL.match(text, at)
    found = _time_at(text, label.end(), emphasis, labelled=True) if label else None
    return found or _time_at(text, at, emphasis, labelled=False)


def _time_at(text: str, at: int, emphasis: str, labelled: bool) -> _Head | None:
    opened = text[at : at + 1] if text[at : at + 1] in _BRACKETS else ""
    inner = at + len(opened)
    while opened and text[inner : inner + 1] in (" ", "*", "_") and inner < len(text):
        inner += 1
    stretch = find_stretch(text, inner)
    if stretch is None or (labelled and stretch.kind == "bare" and not stretch.is_range):
        return None
    if not opened:
        return _Head(stretch, "", stretch.end, labelled, emphasis)
    close = _CLOSE.match(text, stretch.end)
    end = close.end() if close else stretch.end
    closed = text[end : end + 1] == _BRACKETS[opened]
    if not closed and (opened in "\"'" or stretch.kind == "bare" or not stretch.start.tight):
        return None
    return _Head(stretch, opened, end + closed, labelled, emphasis, closed)


def _behind_marks(text: str, at: int) -> int:
    """Where the first option begins, if only emphasis ends between it and the time; else the same place."""
    close = _CLOSE.match(text, at)
    return close.end() if close and text[close.end() : close.end() + 1] == "[" else at


def _options(text: str, at: int) -> tuple[list[str], int]:
    """Options in brackets behind the time, and their end. Other brackets are the prompt's, unless a colon follows."""
    found, ends = [], [at]
    while option := OPTION.match(text, ends[-1]):
        found.append(option[1].strip())
        ends.append(option.end())
    if not text[ends[-1] :].lstrip(" \t*_").startswith(":"):
        sure = [bool(OPTION_LIKE.match(text, start)) for start in ends[:-1]]
        found = found[: sure.index(False)] if False in sure else found
    return found, ends[len(found)]


def _strength(text: str, head: _Head, separator: re.Match[str] | None, at: int) -> int | None:
    """How sure it is that a time is meant; None where the number is part of a word."""
    stretch = head.stretch
    close = stretch.start.tight and stretch.kind != "bare"
    behind = text[at : at + 1]
    if not head.closed:
        return WEAK
    if separator and separator["sure"]:
        # '16:90 wide shot' is a prompt
        if (
            stretch.kind == "bare"
            and separator["sure"][-1] == ":"
            and text[separator.end() : separator.end() + 1].isdigit()
        ):
            return None
        return STRONG if close or stretch.kind != "clock" else FAINT
    if head.opened:
        return STRONG if stretch.kind != "bare" else FAINT
    if separator:
        return STRONG if close else FAINT
    if not text[at:].strip(" \t*_~`"):
        return STRONG if close or stretch.is_range else FAINT
    if stretch.kind == "bare" or (behind not in (" ", "\t", "*", "_", "`") and behind.isascii()):
        return None
    return WEAK if close and not _is_decade(stretch) else FAINT


def _is_decade(stretch: Stretch) -> bool:
    """Whether it may be a decade, as in `80s neon city`."""
    start = stretch.start
    return start.kind == "count" and not stretch.is_range and start.number >= 50 and start.number % 10 == 0


def prompt_behind(line: str, folded: Folded, at: int, emphasis: str) -> str:
    """The words behind the separator, without the emphasis that began before the time."""
    rest = line[folded.place(at) :].strip()
    if emphasis:
        marks = _EMPHASIS.match(rest)
        if marks and marks[0].strip() == emphasis and rest.count(emphasis) % 2:
            rest = rest[marks.end() :].strip()
        elif rest.endswith(emphasis) and rest.count(emphasis) % 2:
            rest = rest[: -len(emphasis)].strip()
    curly = unwrap_curly(rest)
    return rest if curly is None else curly
