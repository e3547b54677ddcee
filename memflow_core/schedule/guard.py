"""Guard against lost times: count those in words that would come out as one prompt.

Two of them are no prompt, however they are written; the readers then refuse the text. A time in the middle of a
sentence is a word of it. It counts where lists have theirs: at the start or the end of a line, in brackets, between
separators, in front of a colon. A range such as 0-3s counts anywhere, and hours of the day such as 18:30 count nowhere.
"""

from __future__ import annotations

import itertools
import re

from . import words
from .limits import MOST_SEGMENTS
from .line import quoted_string
from .moments import stretch_at
from .sightings import (
    CLOCK,
    HOUR_OF_DAY,
    LONG,
    SHORT,
    Sighting,
    is_decade,
    is_short,
    is_timely,
    plain,
    sightings,
)
from .spans import count_spans, is_length

_LINE_ENDS = re.compile(r"[\n\r\u2028\u2029\x85\x0b\x0c]|<br ?/?>|\\n")
# a text whose times begin with 0 at the start of a line
LIST = "list"
# two are no prompt
_ENOUGH = 3


def count_times(text: str, start: str = "", begun: bool = False) -> int:
    """How many times stand in a text that can hardly be words of a sentence, up to a few; none in one JSON string.

    start   the kind of a time of 0 that stands before the text, CLOCK or SHORT; empty for none.
    begun   whether any time does: what its first line begins with is then no time of its own.

    Looks at as many times of a line as a schedule may have.
    """
    if not is_timely(text) or quoted_string(text.strip()) is not None:
        return 0
    lines = [plain(line) for line in _LINE_ENDS.split(text)]
    found = [(line, list(itertools.islice(sightings(line), MOST_SEGMENTS))) for line in lines]
    seen = [one for _, seen in found for one in seen]
    zeros = _zeros(seen, start)
    day = any(one.kind == CLOCK and one.zero for one in seen)
    count = 0
    for number, (line, those) in enumerate(found):
        counted = (one for one in those if (day or not one.of_day) and _counts(one, zeros))
        count += sum(1 for _ in itertools.islice(counted, _ENOUGH)) or int((number or not begun) and _has_key(line))
        if count >= _ENOUGH:
            return count
    count += _count_alone(found, zeros)
    return max(count or _count_chained(lines) or _count_rising(lines), count_spans(lines))


def _count_alone(found: list[tuple[str, list[Sighting]]], zeros: set[str]) -> int:
    """How many lines hold nothing but a time such as `3 seconds`, or `Clip 1 second 3`, where others hold words."""
    if all(is_length(line) for line, _ in found if line):
        return 0
    alone = [seen[0] for _, seen in found if len(seen) == 1 and seen[0].kind == LONG and seen[0].last]
    return sum((one.opens or one.named) and not _counts(one, zeros) for one in alone)


def _zeros(seen: list[Sighting], start: str) -> set[str]:
    """Kinds of times of which a 0 stands in a text, and LIST where one begins a line; start as in `count_times`."""
    # '1s and 0s rain down'
    zeros = [one for one in seen if one.zero and (_FROM.search(one.before) or not _is_joined(one))]
    begins = any(one.opens or (one.whole and " " not in one.before.strip()) for one in zeros)
    return {one.kind for one in zeros} | ({start} if start else set()) | ({LIST} if start or begins else set())


def _is_joined(one: Sighting) -> bool:
    return one.before.endswith("and ") or one.after.startswith("and ")


def holds_time(line: str, begins: bool, clock: bool, bracket: bool) -> bool:
    """Whether a line of a prompt that stands among others holds a time that was meant to begin another.

    begins   whether it stands on a line of its own, not behind a time.
    clock    whether the times of the others are clock times.
    bracket  whether they stand in brackets.
    """
    if not is_timely(line) or quoted_string(line.strip()) is not None:
        return False
    bare = plain(line)
    seen = itertools.islice(sightings(bare), MOST_SEGMENTS)
    return any(_strays(one, begins, clock, bracket) for one in seen) or (begins and _has_key(bare))


def looks_timed(line: str) -> bool:
    """Whether a line holds what looks like a time, however it is written: `t0: a`, `<b>3s</b> a`, `a robot @3s`."""
    return count_times(line, start=CLOCK) > 0


def begins_with_time(prompt: str) -> bool:
    """Whether the words of a prompt begin with a second time, as those of `0s / 3s: a` do."""
    head = plain(prompt[:60])
    bare = head.lstrip(_OPENERS)
    opened = head[: len(head) - len(bare)].strip(" \t")
    stretch = stretch_at(bare, 0) if bare[:1].isdigit() else None
    if stretch is None:
        return False
    behind = bare[stretch.end :].lstrip(" \t")
    if stretch.kind == "bare":
        # '(2) robots' and '16:9: a wide shot' are words
        return (behind[:1] == ":" and not behind[1:2].isdigit()) or (
            opened[-1:] in ("[", "{", "<") and behind[:1] in ("]", "}", ">")
        )
    if stretch.kind == "count" and not is_short(stretch, bare) and not stretch.is_range:
        return behind[:1] in (":", ")", "]", "}")
    if stretch.kind == "clock":
        return stretch.start.tight and not (HOUR_OF_DAY.match(bare) and not stretch.is_range)
    return not is_decade(stretch, bare[: stretch.end])


_OPENERS = "([{<*_~`/|,;:=>-\u2013\u2014\u2192 \t"


# -- where times count ------------------------------------------------------------------------------------------------


def _counts(one: Sighting, zeros: set[str]) -> bool:
    """Whether a time stands where lists have theirs; zeros as `_zeros` has them."""
    if one.kind == LONG:
        return _long_counts(one, zeros)
    if one.range:
        return True
    return _clock_counts(one, zeros) if one.kind == CLOCK else _short_counts(one, zeros)


def _clock_counts(one: Sighting, zeros: set[str]) -> bool:
    """Of `0:05`: one that a sentence says, `at 0:05 it rains`, counts only where it cannot be an hour of the day."""
    if _OF_SENTENCES.search(one.before) and not (one.early and LIST in zeros):
        return one.of_film and (one.after[:1] in (",", ":") or one.lead[-1:] == ";")
    listed = CLOCK in zeros and (LIST in zeros or one.parted or one.keyed or one.early or one.named)
    return one.opens or one.last or listed


def _short_counts(one: Sighting, zeros: set[str]) -> bool:
    """Of `5s`: in a sentence, as in `runs for 5s and stops`, it does not count unless the text starts at 0s."""
    between = (one.parted or one.led) and (one.after[:1] in (",", ";") or (one.parted and one.led))
    return SHORT in zeros or one.opens or one.last or one.apart or one.keyed or between


def _long_counts(one: Sighting, zeros: set[str]) -> bool:
    """Of `5 seconds`: sentences hold these, so more than one sign has to say that it is no word."""
    if LONG in zeros:
        return True
    if one.range:
        return one.opens or one.apart or one.parted or one.keyed or _FROM.search(one.before) is not None
    in_bracket = one.lead[-1:] in ("(", "[", "|") and one.after[:1] in (")", "]", "|", ",")
    in_front = one.keyed and (one.opens or one.parted or one.led or (one.early and one.after[:1] == ":"))
    spans = one.after.startswith("mark") or _SPANNING.search(one.before) is not None
    return in_bracket or in_front or spans or (one.parted and one.last)


def _strays(one: Sighting, begins: bool, clock: bool, bracket: bool) -> bool:
    """Whether a time among the words of one of several prompts was meant to begin another; as in `holds_time`."""
    opens = one.opens and begins
    if opens and one.kind != LONG:
        return True
    if one.of_day:
        return False
    if one.kind == LONG:
        return _long_strays(one, opens, begins)
    if one.range:
        return _LASTING.search(one.before) is None
    if one.kind == CLOCK:
        said = _OF_SENTENCES.search(one.before) is not None
        return clock and (one.keyed or one.of_film or (not said and (one.parted or (one.early and begins))))
    # '(5s)' in the middle of a sentence is how long something takes
    lasts = one.lead[-1:] == "(" and not one.last and not bracket
    return not lasts and (one.apart or one.keyed or (one.parted and (one.last or one.after[:1] == ",")))


def _long_strays(one: Sighting, opens: bool, begins: bool) -> bool:
    if one.range:
        return one.apart or one.keyed or opens
    in_front = one.keyed or (one.led and one.after[:1] == ",") or one.after.startswith(("in:", "mark:"))
    named = one.early and one.after[:1] == ":"
    return _AT.search(one.before) is not None or (begins and (named or (opens and in_front)))


_OF_SENTENCES = re.compile(
    r"\b(?:at|by|until|till|around|before|after|since|past|um|bis|gegen|a las|\u00e0)[ \t]{1,2}$", re.IGNORECASE
)

_LASTING = re.compile(words.LASTING, re.IGNORECASE)
_AT = re.compile(r"\bat[ \t]$", re.IGNORECASE)
_SPANNING = re.compile(r"\b(?:first|next)[ \t]$", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|between|von|de|desde)[ \t]$", re.IGNORECASE)


def _count_chained(lines: list[str]) -> int:
    """How many ranges without units follow one another from 0: `0-5 a`, `[5, 10] b`, `a,0,5`."""
    pairs = [(float(pair[1]), float(pair[2])) for line in lines for pair in _BARE_PAIR.finditer(line)]
    if len(pairs) < 2 or pairs[0][0] != 0:
        return 0
    return len(pairs) if all(end == start for (_, end), (start, _) in itertools.pairwise(pairs)) else 0


def _count_rising(lines: list[str]) -> int:
    """How many numbers without units rise from 0, one at the start of every line, or each as `t=3`."""
    heads = [_BARE_HEAD.match(line) for line in lines if line]
    named = [float(found[1]) for line in lines for found in _NAMED.finditer(line)]
    starts = [float(head[1]) for head in heads if head] if all(heads) else named
    rising = all(later > before for before, later in itertools.pairwise(starts))
    return len(starts) if len(starts) > 1 and not starts[0] and rising else 0


_BARE_HEAD = re.compile(r"(?:time[ \t])?([0-9]{1,6}(?:\.[0-9]{1,3})?)[ \t]+[^\W\d]", re.IGNORECASE)
_NAMED = re.compile(r"\bt[ \t]?=[ \t]?([0-9]{1,6})", re.IGNORECASE)
_BARE_PAIR = re.compile(
    r"(?:^[^\w]{0,6}|[\[({|,][ \t]?)([0-9]{1,6}(?:\.[0-9]{1,3})?)[ \t]?(?:[-\u2013\u2014~,]|to)[ \t]?"
    r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(?=[])}|]|[ \t][A-Za-z\u3040-\u9fff]|$)"
)


# -- times that no reader knows ---------------------------------------------------------------------------------------

_UNKNOWN_KEYS = re.compile(
    rf"""
    [^\w<]{{0,20}}                                               # marks
    (?: (?:start|begin|from|time|timestamp|duration|frame)["']?[ \t]?[:=][ \t]?["']?[0-9]   # start: 0
      | t[ \t]?[:=+_]?[ \t]?{words.NUMBER}[ \t]{{0,3}}[])>:|=\u2013\u2014\u2192]   # t0: a
      | f[0-9]{{1,6}}(?:\]|[ \t]?:|[ \t])                              # f3: a
      | pt[0-9]{{1,5}}[sm]\b                                     # PT3S: a
      | (?<=@)[0-9]{{1,6}}[ \t]                                  # @48 a
      | [0-9]{{1,3}}(?:['"\u2032\u2033]|[.][0-9]{{1,3}}[ \t])    # 3' a, 0.5 a
      | [0-9]{{1,3}}(?:-[^\W\d]{{1,2}}|\.|st|nd|rd|th)[ \t]{words.NAMED_UNIT}[ \t]?[:,\u2013\u2014]  # 3rd second: a
      | (?:[a-z]{{1,6}}[ \t]){{0,2}}[0-9]{{1,5}}[ \t-]?{words.NAMED_UNIT}(?:\(s\))?(?:[ \t]mark)?[,:]
      | {words.NAMED_UNIT}[ \t]?[0-9]{{1,6}}[ \t]?[])]?[ \t]?[:.,)\u2013\u2014-]           # Bild 3: a
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# '3s12f: a', '3s?: a': digits and units and more in one word
_ODD_WORD = re.compile(
    r"[^\w]{0,20}(?=[^\s:]{0,12}[0-9.\u00bc-\u00be][smhf])[0-9][^\s:\u2013\u2014]{1,15}[:\u2013\u2014]"
)
# a program's: '[0, "a"]', 'prompt[0] = "a"', '<shot start="0">', 'between(t,0,3)', '-ss 0', 'duration 3'
_PROGRAM = re.compile(
    r"""
    \w{0,30}[\[(][ \t]?["']?[0-9.:]{1,9}s?["']?[ \t]?(?:,[ \t]?["']|\][ \t]?=)
    | <[a-z]{1,20}[^<>]{0,60}\b(?:start|begin|time|from|in|at)=["']?[0-9]
    | .{0,120}\bbetween\(t,[0-9]
    | .{0,60}-ss[ \t][0-9]
    | duration[ \t]?[:=]?[ \t]?[0-9]
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _has_key(line: str) -> bool:
    """Whether a line begins with a number that is a time in some other notation."""
    return any(pattern.match(line) for pattern in (_UNKNOWN_KEYS, _ODD_WORD, _PROGRAM))
