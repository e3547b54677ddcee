"""Slips: what begins a line like a time and is none, such as `[4]` among seconds, `3 secodns:`, `O:03` or `3_6s`.

A text with a time elsewhere is refused for such a line, since the words behind it would go on with the prompt before.
Numbers that sentences begin with, as in `3 robots dance` or `16:9 wide shot`, are none.
"""

from __future__ import annotations

import re
import unicodedata

from . import words
from .guard import looks_timed
from .moments import stretch_at
from .sightings import HOUR_OF_DAY, is_decade, is_short, plain

# characters of a line that are looked at
_HEAD = 80

_MARKS = r"[^\w\n$\u20ac#]{0,16}"
_N = r"(?<![#\w.])[0-9]{1,4}(?:[.,][0-9]{1,3})?"
_SPAN = rf"{_N}(?:[ \t]?(?:[-\u2013\u2014~_]|to|bis)[ \t]?[0-9]{{1,4}})?"
_SIGN = rf"(?:[:=|;]|{words.ARROW}|>|[-\u2013\u2014](?=[ \t]))"
_LABEL = (
    rf"{words.NUMBERED_PART}"
    r"(?:[*_)\]]{0,3}[ \t]{0,2}[-:.,|\u2013\u2014\u2192][ \t]{0,2}|[*_)\]]{0,3}[ \t]{1,2})"
)
_LEAD = rf"[#>*\-\[(_ \t]{{0,8}}{_MARKS}(?:{_LABEL}){{0,2}}{_MARKS}"
# characters that are written for digits, and for the Chinese second
_D = "[0-9OoIl]"
_NEAR_SECOND = "\u5999\u676a\u6284\u7707\u6e3a"

_CLOCK_SLIP = (
    rf"(?:(?!{words.CLOCK})(?={_D}{{1,2}}[^\w]{{1,3}}[OoIl]?[0-9]){_D}{{1,2}}"
    rf"[ \t]?\.?[:;][ \t]?{_D}[ \t]?{_D}(?![0-9A-Za-z])"
    r"|0{2}[.,][0-9]{2}(?![0-9])|0[,/;][0-9]{2}(?![0-9])"
    r"|:[0-9]{2}(?![0-9]))"
)
_CLOCK = re.compile(rf"{_LEAD}(?:(?<=[^\w:])|^)(?:t[ \t]?=[ \t]?)?{_CLOCK_SLIP}", re.IGNORECASE)
# in timed lines, whose time would be taken from a part of it
# no e: 5e-3 is a number
_READ = re.compile(
    rf"{_MARKS}(?:{_LABEL})?{_MARKS}(?:[0-9]{{1,3}}_[0-9]{{1,3}}|[0-9]/[0-9]s\b|[0-9]{{1,4}}[abdgijknopqrt-z]-[0-9]"
    r"|[0-9Oo]{1,2};[0-9Oo]{2}(?![0-9])|[0-9Oo]{1,2}:(?:[Oo][0-9]|[0-9][Oo])(?![0-9A-Za-z]))",
    re.IGNORECASE,
)
_BRACKET = re.compile(
    rf"{_LEAD}(?<=[(\[{{<`])[ \t]?(?P<number>{_SPAN})[ \t]?(?P<word>[^\W\d_]{{0,12}})\.?[ \t]?(?=[)\]}}>`])",
    re.IGNORECASE,
)
_NUMBER = re.compile(rf"{_LEAD}(?:@|t[ \t]?=)?{_SPAN}[ \t]{{0,2}}[,)\]]?{_SIGN}(?![ \t]{{0,2}}[0-9])", re.IGNORECASE)
_BARE = re.compile(rf"[-*\u2022][ \t]{_N}[ \t][^\W\d]")
_RANGE = re.compile(rf"{_LEAD}{_N}[ \t]?[-\u2013\u2014~][ \t]?[0-9]{{1,4}}(?=[ \t])", re.IGNORECASE)
_WORD = re.compile(
    rf"{_LEAD}(?:@|t[ \t]?=[ \t]?|{words.NAMED_UNIT}[ \t])?{_SPAN}"
    rf"(?P<space>[ \t]{{0,2}})(?P<word>[^\W\d_]{{1,12}})[.?]?[ \t]{{0,2}}"
    rf"(?P<sign>[)\]*]{{0,3}}{_SIGN}|[)\]*]{{1,3}}|,|$)?",
    re.IGNORECASE,
)
_LETTER = re.compile(
    rf"{_MARKS}(?:{_LABEL})?{_MARKS}[slto][0-9]{{1,3}}(?:s|:[0-9]{{2}})?[ \t]{{0,2}}{_SIGN}", re.IGNORECASE
)
_NUMBERS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth "
    "one two three four five six seven eight nine ten zero"
)
_SPELT = re.compile(
    rf"{_MARKS}(?:the[ \t])?(?:{words.one_of(_NUMBERS)}|[0-9]{{1,3}}(?:st|nd|rd|th))[ \t-](?:seconds?|secs?|minutes?)"
    rf"[ \t]{{0,2}}(?:,|{_SIGN})",
    re.IGNORECASE,
)
_SAID = re.compile(
    rf"{_MARKS}(?:(?:and|then|now|next|finally)[ ,]{{1,2}}){{0,2}}(?:(?:at|after)[ \t](?:the[ \t])?"
    rf"(?:{words.NUMBER}[ \t-]?(?:s|secs?|seconds?|sekunden|min|minutes?)\b|0{{1,2}}:[0-9]{{2}}(?![0-9]))"
    rf"|{words.NUMBER}[ \t-](?:seconds?|secs?|minutes?)[ \t](?:in|mark)[ \t]?[,:])",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"[^\w$\u20ac]*(?:[^\W\d]{1,9}[ \t]?[:=][^\w$\u20ac]{0,3}|(?:and|then|next|now)[ \t][^\w$\u20ac]{0,3})?",
    re.IGNORECASE,
)

_ALONE = re.compile(rf"{_LEAD}(?:{words.COUNT}|{words.NAMED_UNIT}[ \t][0-9]{{1,4}})[^\w\n]{{0,9}}$", re.IGNORECASE)

# units that a slip may be made in, and those whose slips are one letter
_UNIT_WORDS = [
    word for word, (unit, scale) in words.UNITS.items() if unit == "s" and scale in (1, 60) and len(word) > 4
]
_SHORT_WORDS = ["sec", "secs", "sek"]
# behind a number they mean no time; behind a range only the lengths among them do not
_LENGTH_WORDS = "mm cm m km kg p px pm am"
_OTHER_WORDS = "k d mp th st nd rd fps x g hz b v w in ft to of or is"
_LENGTHS = frozenset(_LENGTH_WORDS.split())
_NO_UNITS = _LENGTHS | frozenset(_OTHER_WORDS.split())


def is_slip(line: str, ranges: bool = False, bullets: bool = False) -> bool:
    """Whether a line that holds no time begins with what was meant as one.

    ranges, bullets  whether the lines with times hold ranges, and begin with list marks.
    """
    head = plain(unicodedata.normalize("NFKC", line[:_HEAD]).replace('"', "'"))
    if not any(one.isdigit() for one in head):
        return _SPELT.match(head) is not None
    patterns = (
        [_NUMBER, _CLOCK, _LETTER, _SPELT, _SAID, _READ, _ALONE]
        + ([_RANGE] if ranges else [])
        + ([_BARE] if bullets else [])
    )
    return any(one.match(head) for one in patterns) or _in_bracket(head) or _is_misspelt(head) or _opens(head)


def is_odd_time(line: str) -> bool:
    """Whether the time of a line is a part of something that is none, as in `3_6s: a` or `0;03 a`."""
    return _READ.match(plain(line[:_HEAD])) is not None


def hides_time(line: str) -> bool:
    """Whether a line that is left out as a heading holds a number in the place of a time."""
    return looks_timed(line) or is_slip(line, ranges=True)


def _in_bracket(head: str) -> bool:
    """`[4] a`, `(3-6 sce) a`, `(3-6x) a`."""
    found = _BRACKET.match(head)
    if found is None:
        return False
    word = found["word"].lower()
    ranged = re.search(r"[0-9][ \t]?[^0-9., \t]", found["number"]) is not None
    if not word or _is_unit(word):
        return True
    return word not in (_LENGTHS if ranged else _NO_UNITS) and (ranged or (len(word) == 1 and word.isascii()))


def _is_misspelt(head: str) -> bool:
    """`3 secodns: a`, `3a - a`, `3 d - a`."""
    found = _WORD.match(head)
    if found is None:
        return False
    word, sign = found["word"].lower(), found["sign"]
    if word[:1] in _NEAR_SECOND:
        return True
    if not sign:
        return len(word) > 5 and word[:2] == "se" and _is_unit(word) and word not in words.UNITS
    if len(word) > 4 or word in words.UNITS:
        return _is_unit(word)
    if sign == ",":
        return False
    short = (len(word) < 4 and not found["space"]) or len(word) < 3
    return _is_unit(word) or (short and bool(sign) and word.isascii() and word not in _NO_UNITS)


def _is_unit(word: str) -> bool:
    """Whether a word is a unit of time, or one with a slip in it."""
    if word in words.UNITS:
        return words.UNITS[word][0] in ("s", "frames")
    if word[:1] in _NEAR_SECOND:
        return True
    if len(word) < 5:
        return any(_distance(word, unit) < 2 for unit in _SHORT_WORDS)
    return any(word[0] == unit[0] and _distance(word, unit) <= (1 if unit[0] == "m" else 2) for unit in _UNIT_WORDS)


def _distance(one: str, other: str) -> int:
    """Slips between two short words: letters left out, put in, changed, or two that changed places."""
    above, row = [], list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        new = [i]
        for j, b in enumerate(other, 1):
            cost = min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, above[j - 2] + 1)
            new.append(cost)
        above, row = row, new
    return row[-1]


def _opens(head: str) -> bool:
    """A time behind signs or a word that no reader knows: `\u23f1 3s a`, `T: 3s a`, `then "6s" a`."""
    at = re.search("[0-9]", head)
    if at is None or not _BEFORE.fullmatch(head[: at.start()]):
        return False
    stretch = stretch_at(head, at.start())
    if stretch is None or stretch.kind == "bare" or stretch.start.unit not in ("s", "frames"):
        return False
    if stretch.kind == "clock":
        return stretch.start.tight and not HOUR_OF_DAY.match(head, at.start())
    return is_short(stretch, head) and not is_decade(stretch, head[at.start() : stretch.end])
