"""Stretches and lengths in a text that would come out as one prompt: bare ranges, and how long each shot lasts.

`0-3` in front of words, behind them, or one after the other in one line counts where the stretches follow one another
from 0. Lengths such as `Shot 1, 5 seconds: a` count where two shots have one.
"""

from __future__ import annotations

import itertools
import re

from . import words
from .sightings import plain

_MARKS = r"(?:[^\w\n$\u20ac]|_){0,16}"
_LABEL = rf"(?:{words.NUMBERED_PART}[^\w\n]{{1,6}}|[^\W\d_]{{1,9}}[ \t]?:[ \t]?)"
_PAIR = (
    r"(?<![^\W_])(?<![.:/$\u20ac-])([0-9]{1,4}(?:\.[0-9]{1,2})?)[ \t]?[-\u2013\u2014~][ \t]?"
    r"([0-9]{1,4}(?:\.[0-9]{1,2})?)s?(?![^\W_]|[/%-]|[:.][0-9])"
)
_HEAD_PAIR = re.compile(rf"{_MARKS}{_LABEL}{{0,2}}{_MARKS}{_PAIR}", re.IGNORECASE)
_LAST_PAIR = re.compile(rf"{_PAIR}[^\w\n]{{0,4}}$")
_ANY_PAIR = re.compile(_PAIR)
# what a number in front of them counts, or the word that it belongs to: 'page 0-5'
_MEASURE = re.compile(
    r"[ \t]?(?:years?|degrees?|days?|weeks?|months?|hours?|percent|points?|people"
    r"|k?m(?:/h|ph)?|[cm]m|kg|mph|%|\u00b0)(?![a-z])",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"[^\W\d_]{2,20}[ \t]{1,2}$")
# ends of stretches of a film, not of scores
_LEAST_END = 3


def count_spans(lines: list[str]) -> int:
    """How many bare ranges follow one another from 0: one a line, or two and more in one line."""
    heads = [found for line in lines if (found := _HEAD_PAIR.match(line) or _LAST_PAIR.search(line))]
    groups = [heads, *([*_ANY_PAIR.finditer(line)] for line in lines)]
    return max((len(group) for group in groups if _follow(group)), default=0)


def _follow(group: list[re.Match[str]]) -> bool:
    """Whether stretches begin at 0, and each where the one before it ends, or later; those of measures do not count."""
    counted = [_COUNTED.search(one.string[max(0, one.start() - 24) : one.start()].lower()) for one in group]
    alike = len(group) > 1 and len({one and one[0] for one in counted}) == 1 and counted[0] is not None
    if alike or any(_MEASURE.match(one.string, one.end()) for one in group):
        return False
    pairs = [(float(one[1]), float(one[2])) for one in group]
    rising = all(end > start for start, end in pairs) and all(b[0] >= a[1] for a, b in itertools.pairwise(pairs))
    return len(pairs) > 1 and not pairs[0][0] and rising and pairs[-1][1] > _LEAST_END


# -- how long shots last ----------------------------------------------------------------------------------------------

_SPELT = (
    "one two three four five six seven eight nine ten "
    "uno dos tres cuatro cinco un deux trois quatre cinq zwei drei vier"
)
_LONG = rf"(?:(?:{words.NUMBER}|{words.one_of(_SPELT)}(?=[ \t]))[ \t-]?{words.UNIT})"
_BEGIN = (
    r"(?:(?:for|lasts?|duration|dur\.?|length|dauer|dur\u00e9e)[ \t]?:?[ \t]?"
    r"|(?:\u65f6\u957f|\u6301\u7eed|\u6642\u9577)[ \t]?:?[ \t]?)"
)
_SIGN = (
    r"(?:[ \t]{0,2}(?:long|lang)\b"
    rf"|[ \t]{{0,2}}(?:[])}}:,;.|=\t\u3002\u3001\u2014\u2013]|{words.ARROW}|-(?=[ \t]))|[ \t]{{0,2}}$)"
)
_HEADED = re.compile(
    rf"(?P<label>{_MARKS}{_LABEL}{{0,2}}{_MARKS})(?P<begin>{_BEGIN})?{_LONG}(?P<sign>{_SIGN})?", re.IGNORECASE
)
_ENDED = re.compile(
    rf"(?:^{_MARKS}{_LABEL}.{{1,200}}(?:\bfor[ \t]{_LONG}|[-\u2013\u2014(,][ \t]?{_LONG}[ \t]long\)?))[.;,]?$",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    rf"(?:(?:\u524d|\u540e|\u5f8c|\u63a5\u4e0b\u6765|\u968f\u540e|\u6700\u540e"
    rf"|\u6700\u521d\u306e|\u6b21\u306e|\u6700\u5f8c\u306e)[ \t]?{words.NUMBER}[ \t]?\u79d2)"
    rf"|(?:{words.PART}[ \t]?{words.PART_NUMBER}[^\w\n]{{0,3}}"
    rf"(?:\u65f6\u957f|\u6301\u7eed)[ \t]?{words.NUMBER}[ \t]?\u79d2)",
    re.IGNORECASE,
)
_ZERO = re.compile(rf"(?<![0-9.,:])0(?:[.,]0)?[ \t-]?{words.UNIT}", re.IGNORECASE)
# not of decades
_EVERY = re.compile(r"(?:^|[,;][ \t])(?:1?[0-9]|[0-9][1-9])s(?=[ \t][^\W\d])")
# '0-3s' is a stretch
_RANGED = re.compile(r"[0-9][-\u2013\u2014~]$")
_ALONE = re.compile(rf"[^\w]{{0,9}}{_LONG}[^\w]{{0,9}}", re.IGNORECASE)


def find_lengths(text: str) -> int | None:
    """The number of the line, from 0, that says how long the first of several shots lasts; None for none."""
    lines = [plain(line) for line in text.split("\n")]
    lasting = [number for number, line in enumerate(lines) if _lasts(line)]
    if any(_ZERO.search(lines[number]) for number in lasting):
        return None
    if len(lasting) > 1 and not all(is_length(line) for line in lines):
        return lasting[0]
    crowded = (number for number, line in enumerate(lines) if _are_lengths(line))
    return next(crowded, None)


def is_length(line: str) -> bool:
    """Whether a line, folded, is a count with its unit, and nothing else."""
    return _ALONE.fullmatch(line) is not None


def _lasts(line: str) -> bool:
    found = _HEADED.match(line)
    if found is not None and _RANGED.search(found["label"]):
        return False
    if found is None:
        return _ENDED.match(line) is not None
    label, sign = found["label"], found["sign"] is not None
    rest = line[found.end() :].strip(" \t")
    if found["begin"]:
        return sign
    # 'A robot waits' / '3 seconds' / 'then runs'
    alone = sign and not rest
    numbered = bool(re.search(r"\w", label)) or re.match(r"[^\w\s]", label) is not None
    return alone or (numbered and (sign or (label.strip(" \t")[-1:] == ")" and bool(rest))))


def _are_lengths(line: str) -> bool:
    """Whether one line holds several: `\u524d5\u79d2...\u540e5\u79d2...`, `5s a fox, 5s a boat`."""
    every = _EVERY.findall(line)
    return len(_CHINESE.findall(line)) > 1 or (len(every) > 1 and line[:1].isdigit())
