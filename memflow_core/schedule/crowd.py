"""How many times stand in words that would come out as one prompt: two or more are no prompt, however they are written.

A range with a unit counts anywhere. Clock times and counts of seconds count where a list has them: at the start or the
end of a line, in brackets, behind a label or a separator. In the middle of a sentence they are its words.
"""

from __future__ import annotations

import re
import unicodedata

from .fold import fold
from .line import quoted_string

_LINE_ENDS = re.compile(r"[\n\r\u2028\u2029\x85\x0b\x0c]|<br ?/?>|\\n")
_NUMBER = r"[0-9]{1,6}(?:[.,][0-9]{1,3})?"
_SHORT = r"(?:s|secs?|sek|seg|ms|f|fr|\u79d2|\ucd08|\u0441|\u0441\u0435\u043a)(?![A-Za-z0-9\u0400-\u04ff])"
_LONG = r"(?:seconds?|sekunden?|segundos?|secondes?|second[io]|minutes?|mins?|frames?)(?![A-Za-z0-9])"
_COUNT = rf"{_NUMBER}[ \t]?(?:{_SHORT}|{_LONG})"
_CLOCK = r"[0-9]{1,3}(?::[0-9]{2}){1,3}(?:[.,][0-9]{1,3})?(?![0-9:])"
_JOIN = r"[ \t]{0,2}(?:-{1,2}>?|[\u2013\u2014~\u2192/,]|to|until|bis|\u81f3|\u5230)[ \t]{0,2}"
_TOKEN = re.compile(
    r"(?<![0-9A-Za-z.:$\u20ac])(?<![0-9],)(?:"
    rf"(?P<range>(?:{_CLOCK}{_JOIN}{_CLOCK}|{_NUMBER}[ \t]?(?:{_SHORT}"
    rf"|{_LONG})?{_JOIN}{_NUMBER}[ \t]?(?:{_SHORT}|s\b)))"
    rf"|(?P<clock>{_CLOCK})|(?P<short>{_NUMBER}[ \t]?{_SHORT}|[零一二三四五六七八九十]{{1,3}}\u79d2)"
    rf"|(?P<long>{_COUNT}))",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:^|(?<=[^A-Za-z]))(?:at|from|after|ab|um|bei|(?:scene|shot|clip|part|segment|take)[ \t]?[0-9]{0,3})[ \t]{0,2}$",
    re.IGNORECASE,
)
_AT = re.compile(r"\b(?:at|by|until|till|around|before|after|since|past|um|bis|gegen|a las|\u00e0)[ \t]{1,2}$", re.I)
_SEPARATORS = ",;:|/=>@#([{<\"'`*_\u300c\u300e\u00ab\u2192\u3002\u3001\u2022.!?"
_BEHIND = ":|)]}>=\u2192\u300d\u300f\u00bb\"'`*,;?!"
# heads of lines that no prompt has twice
_HEAD = re.compile(
    r"[^\w]{0,20}(?:"
    r"[0-9]{1,2}[A-Z]?[ \t](?:[0-9]{1,2}:)?[0-9]{1,2}:[0-9]{2}[ \t:]|"
    r"(?:ab |bei |en |in )?(?:sek(?:unde)?|segundo|seconde?|sec|frame"
    r"|f)\.?[ \t]?[0-9]{1,6}[ \t]?[\])]?[ \t]?[:.,)\-\u2013\u2014]"
    r"|\[?f[0-9]{1,6}\]"
    r"|(?:after|at(?: the)?|nach)[ \t][0-9]{1,5}[ \t-]?seconds?(?: mark)?[,:]"
    r"|[0-9]{1,5}[ \t]?second\(s\)"
    r"|PT[0-9]{1,5}[SM]\b|(?<=@)[0-9]{1,6}[ \t]"
    r"|[0-9]{1,4}[0-9smhf_.\u00bc-\u00be]{1,8}[?!]?(?:@\w{1,8})?[ \t]?(?<=[smhfps?!])[:\u2013\u2014]"
    r")"
    r"|[\[(][ \t]?[\"']?[0-9.:]{1,9}s?[\"']?[ \t]?,[ \t]?[\"']|\w{1,30}\[[0-9]{1,6}\][ \t]?="
    r"|<[a-z]{1,20}[^<>]{0,60}(?:start|begin|time|from|in|at)=[\"']?[0-9]|.{0,120}between\(t,[0-9]"
    r"|.{0,60}-ss[ \t][0-9]|duration[ \t]?[:=]?[ \t]?[0-9]|[0-9]{1,4},[0-9]{2}:[0-9]{2}",
    re.IGNORECASE,
)


def count_times(text: str, clock: bool = False) -> int:
    """How many times stand in a text that can hardly be words of a sentence; none in one JSON string.

    clock   whether a clock time of 0:00 stands before the text.
    """
    if not any(map(_is_timely, text)) or quoted_string(text.strip()) is not None:
        return 0
    lines = [_plain(line) for line in _LINE_ENDS.split(text)]
    found = [(line, list(_TOKEN.finditer(line))) for line in lines]
    zero = {
        kind
        for _, tokens in found
        for token in tokens
        for kind in ("clock", "short")
        if token[kind] and not re.search("[1-9]", token[kind]) and token[kind][0] == "0"
    } | ({"clock"} if clock else set())
    return sum(
        sum(_is_sure(line, token, zero) for token in tokens) or int(_HEAD.match(line) is not None)
        for line, tokens in found
    )


def _is_timely(character: str) -> bool:
    return character.isdecimal() or character == "\u79d2"


def _plain(line: str) -> str:
    """A line with plain digits and folded marks."""
    folded = fold(line, len(line)).text.strip()
    if folded.isascii():
        return folded
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in folded)


def _is_sure(line: str, token: re.Match[str], zero: set[str]) -> bool:
    if token["range"]:
        return True
    # what can matter stands close by
    before = line[max(0, token.start() - 40) : token.start()]
    after = line[token.end() : token.end() + 6].lstrip(" \t")
    if token["short"] and (_is_decade(token["short"]) or (token["short"][-1:] == "f" and token["short"][0] != "0")):
        return False
    bare = _LEADING.sub("", before).rstrip()
    starts = not bare.strip("-+*>#|_~`([{<\"' \t\u2022")
    closing = after.strip(")]}>*_.,; \t\"'`") == "" and token.end() + 6 >= len(line)
    parted = bool(bare) and (bare[-1] in _SEPARATORS or (bare[-1] in "-\u2013\u2014\u00b7" and bare != before))
    if token["clock"]:
        if _AT.search(before):
            return False
        return starts or closing or (parted and "clock" in zero)
    if token["long"]:
        return (starts or parted) and after[:1] in (*":|)]>=\u2192-\u2013\u2014",) and after[:1] != ""
    return "short" in zero or starts or closing or parted or after[:1] in (*_BEHIND,)


def _is_decade(count: str) -> bool:
    digits = re.match("[0-9]*", count)
    number = int(digits[0] or 0) if digits else 0
    return count.lower().endswith("s") and number >= 20 and number % 10 == 0


_OPENERS = "([{<*_~`/|,;:=>-\u2013\u2014\u2192 \t"
_OWN_TIME = re.compile(
    rf"(?:{_CLOCK}|{_NUMBER}[ \t]?(?:s|secs?|ms|\u79d2)(?![A-Za-z0-9])|{_NUMBER}[ \t]?(?:f"
    rf"|frames?)?[ \t]?(?=[:\])}}]))",
    re.IGNORECASE,
)


def begins_with_time(prompt: str) -> bool:
    """Whether the words of a prompt begin with a second time, as those of `0s / 3s: a` do."""
    head = _plain(prompt[:60])
    bare = head.lstrip(_OPENERS)
    found = _OWN_TIME.match(bare)
    if found is None or _is_decade(found[0]):
        return False
    opened = head[: len(head) - len(bare)].strip(" \t")
    behind = bare[found.end() : found.end() + 2]
    number = found[0].strip().replace(".", "").replace(",", "").isdigit()
    # '(2) robots' and '16:9: a wide shot' are words
    return not number or (behind[:1] == ":" and not behind[1:].isdigit()) or (bool(opened) and opened[-1] in "[{<")
