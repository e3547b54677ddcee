"""A line whose time stands behind words of its own: `Opening (0-3s): a fox`, `Then 5s: snow`, `At second 5: dusk`.

The words may be a label or part of a sentence, so such a line is read only where all of them, with the other times of
the text, count up from 0; the words are left out, and told.
"""

from __future__ import annotations

import re

from . import words
from .errors import ScheduleError
from .fold import fold
from .loose_line import LABELLED, LooseLine, prompt_behind
from .moments import Stretch, stretch_at

_PLACE = re.compile(rf"(?<![0-9A-Za-z.,$\u20ac])(?<![0-9]:)(?:{words.NAMED_UNIT}[ \t]{{0,2}})?[0-9]", re.IGNORECASE)
_LONGEST_LABEL, _MOST_WORDS = 70, 8
# what ends a sentence, or begins the words that a time is said of
_SENTENCE = re.compile(r"[.!?;\u3002](?:[ \t]|$)|[\"\u300c]")
_LASTING = re.compile(words.LASTING, re.IGNORECASE)
_AT = re.compile(rf"\b{words.one_of(words.TIME_WORDS)}[ \t]{{0,3}}$", re.IGNORECASE)
_CLOSING = {"(": ")", "[": "]", "<": ">"}
_SEPARATOR = re.compile(rf"[ \t]{{0,3}}[*_]{{0,3}}[ \t]{{0,3}}(?::|{words.ARROW}|{words.DASH}(?=[ \t])|\|)")


def match_labelled(line: str) -> LooseLine | None:
    """Read a line with a time behind words and in front of a colon, dash or arrow; None for any other."""
    folded = fold(line)
    text = folded.text
    for place in _PLACE.finditer(text, 1, _LONGEST_LABEL):
        label = text[: place.start()]
        stretch = stretch_at(text, place.start())
        if stretch is None or stretch.kind == "bare" or _is_numbered(text, stretch, place):
            continue
        opened = label.rstrip(" \t*_")[-1:]
        closed = opened in _CLOSING and text[stretch.end :].lstrip(" \t*_")[:1] == _CLOSING[opened]
        end = text.index(_CLOSING[opened], stretch.end) + 1 if closed else stretch.end
        separator = _SEPARATOR.match(text, end)
        if separator is None or not (closed or _is_start(stretch, label)) or not _is_label(label):
            return None
        try:
            start, until = stretch.times()
        except ScheduleError:
            return None
        style = (stretch.kind, stretch.start.unit or "", opened if closed else "")
        prompt = prompt_behind(line, folded, separator.end(), _emphasis(label))
        return LooseLine(start, until, [], prompt, LABELLED, style, True)
    return None


def _is_numbered(text: str, stretch: Stretch, place: re.Match[str]) -> bool:
    """Whether a number belongs to the word before it, as in `Camera 2 - 4s`, and not to a range."""
    spaced = re.match(r"[0-9]{1,3}[ \t]+[-\u2013\u2014]", text[place.start() :]) is not None
    return stretch.is_range and spaced and re.search(r"[^\W\d]{2,20}[ \t]?$", text[: place.start()]) is not None


def _is_label(label: str) -> bool:
    """Whether words are short enough to be those of a label, and no sentence stands in them."""
    bare = re.sub(r"^[^\w]{0,9}[0-9]{1,3}[.)][ \t]", "", label)
    return bool(bare.strip(" \t*_([<-")) and len(bare.split()) <= _MOST_WORDS and not _SENTENCE.search(bare.rstrip())


def _is_start(stretch: Stretch, label: str) -> bool:
    """Whether a time without brackets is a start: `first 5s:` and `after 3 seconds:` are lengths."""
    if stretch.is_range:
        return stretch.start.unit is not None
    return stretch.start.tight and not _LASTING.search(label) if not _AT.search(label) else True


def _emphasis(label: str) -> str:
    """Marks of bold type that begin within the label and end behind the time."""
    marks = re.search(r"[*_]{1,3}", label)
    return marks[0] if marks and label.count(marks[0]) % 2 else ""
