"""Whether a line looks as if it held a time, however it is written: several such lines are no prompt."""

from __future__ import annotations

import re

from .fold import fold

_CLOCK = r"[0-9]{1,3}(?::[0-9]{2}){1,3}(?:[.,][0-9]{1,3})?"
_COUNT = r"[0-9]{1,5}(?:[.,][0-9]{1,3})?[ \t]?(?:s|secs?|seconds?|mins?|minutes?|frames?)"
_TIME = rf"(?:{_CLOCK}|{_COUNT})(?![A-Za-z0-9])"
_JOIN = r"[ \t]{0,2}(?:-{1,2}>?|\u2013|\u2014|~|to|until|\u2192)[ \t]{0,2}"
_TAGS = r"(?:<[/A-Za-z][^<>\n]{0,40}>[^A-Za-z0-9<]{0,5}){0,3}"
_NUMBER = r"[0-9]{1,6}(?:[.,][0-9]{1,3})?"

_SPAN = rf"{_TIME}(?:{_JOIN}{_TIME})?[ \t]{{0,3}}"
_NAMED = rf"[tT][ \t]?[:=+_]?[ \t]?{_NUMBER}[ \t]{{0,3}}"
_HEAD = re.compile(
    r"[^A-Za-z0-9]{0,20}[0-9]{1,3}(?::[0-9]{2}(?![0-9])|[.][0-9]{1,3}[ \t]|['\"\u2032\u2033])"
    r"|Dialogue:.{0,20}[0-9]:[0-9]{2}|<p begin="
    rf"|[^A-Za-z0-9<]{{0,20}}{_TAGS}(?:{_SPAN}|{_NAMED})(?:[])>:|/*=,;.\u2013\u2014\u2192-]|<|$)"
)
_TAIL = re.compile(
    r"(?:@|[(\[{|\u2013\u2014\u2192]|(?<=\s)-(?=\s))[ \t]{0,3}"
    rf"{_SPAN}[])}}]?[*_]{{0,2}}[.,;]?$"
)
_LONGEST_TAIL = 60


def looks_timed(line: str) -> bool:
    """Whether a line starts or ends with what looks like a time: `t0: a`, `<b>3s</b> a`, `a robot @3s`."""
    head = fold(line).text
    tail = fold(line[-_LONGEST_TAIL:]).text.rstrip()
    return _HEAD.match(head) is not None or _TAIL.search(tail) is not None
