"""Guard against lost times: count those in words that would come out as one prompt.

Two of them are no prompt, however they are written; the readers then refuse the text. A time in the middle of a
sentence is a word of it. It counts where lists have theirs: at the start or the end of a line, in brackets, between
separators, in front of a colon. A range such as 0-3s counts anywhere, and hours of the day such as 18:30 count nowhere.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from . import words
from .errors import ScheduleError
from .fold import fold
from .limits import MOST_SEGMENTS
from .line import quoted_string
from .moments import Stretch, find_stretch

_LINE_ENDS = re.compile(r"[\n\r\u2028\u2029\x85\x0b\x0c]|<br ?/?>|\\n")
_CHINESE_SECONDS = re.compile(rf"[{words.CHINESE_DIGITS}]{{1,3}}(?=\u79d2)")
# part of no word, of no larger number, of no price; its unit may stand before it
_NUMBER = re.compile(
    rf"(?<![0-9A-Za-z.$\u20ac])(?<![0-9]:)(?:{words.NAMED_UNIT}[ \t]?)?(?:(?<![0-9],)[0-9]|(?={words.CLOCK})[0-9])",
    re.IGNORECASE,
)
# words on a sign: 'a sign "0-3s"'
_QUOTED = re.compile(r"(?<=[A-Za-z][ \t])\"[^\"\n]{1,80}\"")

CLOCK, SHORT, LONG = "clock", "short", "long"
# a text whose times begin with 0 at the start of a line
LIST = "list"
_SHORT_UNITS = "s sec secs sek seg segs ms 秒 초 с сек"
_FRAME_UNITS = "f fr"
_NEAR, _FEW = 40, 2
# two are no prompt
_ENOUGH = 3


@dataclass(frozen=True)
class _Sighting:
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
    def early(self) -> bool:
        """Whether a few words at most stand before it in its line: `Finally 0:07`."""
        return self.whole and len(self.before.split()) <= _FEW


def count_times(text: str, clock: bool = False) -> int:
    """How many times stand in a text that can hardly be words of a sentence, up to a few; none in one JSON string.

    clock   whether a clock time of 0:00 stands before the text.

    Looks at as many times of a line as a schedule may have.
    """
    if not any(map(_is_timely, text)) or quoted_string(text.strip()) is not None:
        return 0
    lines = [_without_quotes(_plain(line)) for line in _LINE_ENDS.split(text)]
    found = [(line, list(itertools.islice(_sightings(line), MOST_SEGMENTS))) for line in lines]
    seen = [one for _, sightings in found for one in sightings]
    # '1s and 0s rain down'
    zeros = {one.kind for one in seen if one.zero and not (one.before.endswith("and ") or one.after.startswith("and "))}
    day = CLOCK in zeros
    zeros |= {CLOCK} if clock else set()
    if clock or any(one.zero and (one.opens or (one.whole and " " not in one.before.strip())) for one in seen):
        zeros.add(LIST)
    count = 0
    for line, sightings in found:
        counted = (one for one in sightings if (day or not one.of_day) and _counts(one, zeros))
        count += sum(1 for _ in itertools.islice(counted, _ENOUGH)) or int(_has_key(line))
        if count >= _ENOUGH:
            return count
    return count or _count_chained(lines) or _count_rising(lines)


def holds_time(line: str, begins: bool, clock: bool, bracket: bool) -> bool:
    """Whether a line of a prompt that stands among others holds a time that was meant to begin another.

    begins   whether it stands on a line of its own, not behind a time.
    clock    whether the times of the others are clock times.
    bracket  whether they stand in brackets.
    """
    if not any(map(_is_timely, line)) or quoted_string(line.strip()) is not None:
        return False
    plain = _without_quotes(_plain(line))
    sightings = itertools.islice(_sightings(plain), MOST_SEGMENTS)
    return any(_strays(one, begins, clock, bracket) for one in sightings) or (begins and _has_key(plain))


def looks_timed(line: str) -> bool:
    """Whether a line holds what looks like a time, however it is written: `t0: a`, `<b>3s</b> a`, `a robot @3s`."""
    return count_times(line, clock=True) > 0


def begins_with_time(prompt: str) -> bool:
    """Whether the words of a prompt begin with a second time, as those of `0s / 3s: a` do."""
    head = _plain(prompt[:60])
    bare = head.lstrip(_OPENERS)
    opened = head[: len(head) - len(bare)].strip(" \t")
    stretch = _stretch_at(bare, 0) if bare[:1].isdigit() else None
    if stretch is None:
        return False
    behind = bare[stretch.end :].lstrip(" \t")
    if stretch.kind == "bare":
        # '(2) robots' and '16:9: a wide shot' are words
        return (behind[:1] == ":" and not behind[1:2].isdigit()) or (
            opened[-1:] in ("[", "{", "<") and behind[:1] in ("]", "}", ">")
        )
    if stretch.kind == "count" and not _is_short(stretch, bare) and not stretch.is_range:
        return behind[:1] in (":", ")", "]", "}")
    if stretch.kind == "clock":
        return stretch.start.tight and not (_HOUR_OF_DAY.match(bare) and not stretch.is_range)
    return not _is_decade(stretch, bare[: stretch.end])


_OPENERS = "([{<*_~`/|,;:=>-\u2013\u2014\u2192 \t"


# -- times that the readers know --------------------------------------------------------------------------------------


def _is_timely(character: str) -> bool:
    return character.isdecimal() or character == "\u79d2"


def _plain(line: str) -> str:
    """A line with plain digits and folded marks."""
    folded = fold(line, len(line)).text.strip()
    if folded.isascii():
        return folded
    folded = _CHINESE_SECONDS.sub(lambda digits: "0" if digits[0] == "零" else "1", folded)
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in folded)


def _without_quotes(line: str) -> str:
    return _QUOTED.sub("", line) if '"' in line else line


def _stretch_at(line: str, at: int) -> Stretch | None:
    try:
        return find_stretch(line, at)
    except ScheduleError:
        return None


def _sightings(line: str) -> Iterator[_Sighting]:
    """All clock times and counts with a unit in a line."""
    end = 0
    for number in _NUMBER.finditer(line):
        at = number.start()
        found = _sighting(line, at) if at >= end else None
        if found is not None:
            one, end = found
            yield one


def _sighting(line: str, at: int) -> tuple[_Sighting, int] | None:
    """The time at a place of a line, and where it ends; None for no time."""
    stretch = _stretch_at(line, at)
    if stretch is None or stretch.kind == "bare":
        # '0:75' is none, but meant as one
        broken = _BROKEN_CLOCK.match(line, at)
        if broken is None:
            return None
        return _seen(line, at, broken.end(), CLOCK, zero=False, is_range=bool(broken["join"])), broken.end()
    if stretch.start.unit not in ("s", "frames"):
        return None
    kind = CLOCK if stretch.kind == "clock" else SHORT if _is_short(stretch, line) else LONG
    is_range = stretch.is_range and not _WORDY.search(line[at : stretch.end])
    long_s = stretch.last.number * stretch.last.scale - stretch.start.number * stretch.start.scale
    if stretch.is_range and kind != CLOCK and long_s <= 0:
        # the number of a label: 'Frame 1 - 0 seconds'
        return None
    end = stretch.end if is_range else stretch.start.end
    if not is_range and (_is_decade(stretch, line[at:end]) or (kind == CLOCK and not stretch.start.tight)):
        return None
    is_pair = kind == CLOCK and _PAIR.match(line, end) is not None
    return _seen(line, at, end, kind, zero=not stretch.start.number, is_range=is_pair or is_range), end


def _seen(line: str, at: int, end: int, kind: str, *, zero: bool, is_range: bool) -> _Sighting:
    written = line[at:end]
    return _Sighting(
        kind=kind,
        zero=zero,
        range=is_range,
        of_film=kind == CLOCK and re.match("0{1,2}:", written) is not None,
        of_day=kind == CLOCK and _HOUR_OF_DAY.match(written) is not None,
        before=line[max(0, at - _NEAR) : at],
        whole=at <= _NEAR,
        after=line[end : end + _NEAR].lstrip(" \t"),
        last=end + _NEAR >= len(line) and not line[end:].strip(_CLOSERS),
    )


_BROKEN_CLOCK = re.compile(rf"{words.CLOCK}(?P<join>{words.JOIN}{words.CLOCK})?")
_HOUR_OF_DAY = re.compile(r"(?:0?[6-9]|1[0-9]|2[0-3]):[0-9]{2}(?![0-9:.,])")
# '5s and 6s' are two
_WORDY = re.compile(r"[ \t](?:and|a)[ \t]")
# a clock time behind another: '0:00,0:03'
_PAIR = re.compile(rf"[,/:]{words.CLOCK}|:[0-9]{{2}}")
_CLOSERS = ")]}>*_.,;:!? \t\"'`|\u300d\u300f\u00bb\u2502"


def _is_short(stretch: Stretch, line: str) -> bool:
    word = _UNIT_AT_END.search(line[: stretch.end])
    unit = word[0].lower() if word else ""
    return unit in _SHORT_UNITS.split() or (unit in _FRAME_UNITS.split() and not stretch.start.number)


_UNIT_AT_END = re.compile(rf"(?:[A-Za-z]{{1,12}}|[{words.CYRILLIC}]{{1,12}}|[{words.CJK}])$")


def _is_decade(stretch: Stretch, written: str) -> bool:
    """Whether it is a decade, as in `80s neon`."""
    start = stretch.start
    return start.unit == "s" and written[-1:] == "s" and start.number >= 20 and start.number % 10 == 0


# -- where they count -------------------------------------------------------------------------------------------------

_MARKS = "-+*>#|_~`([{<\"' \t\u2022\u00b7\u25aa\u25cf\u300c\u300e\u00ab\u2502"
_BRACKETS = "|@#([{<\"'`*_\u300c\u300e\u00ab\u2502\u2192"
_STOPS = ",;:/=>\u3002\u3001\u2022.!?"
_KEY_SIGNS = ":|)]}<>=\u2192\u300d\u300f\u00bb\"'`*\u2502\u2022-\u2013\u2014"
_TAGS = re.compile(r"</?[A-Za-z][^<>]{0,30}>")
# words that belong to the time behind them
_LEADING = re.compile(
    rf"(?:^|(?<=[^A-Za-z]))(?:{words.one_of(words.TIME_WORDS)}|after|um|nach|first|next|{words.PART}[ \t]?[0-9]{{0,3}}"
    r"|approx\.?|ca\.?|about|(?:die )?(?:ersten|n\u00e4chsten)"
    r"|(?<![^ \t(\[])[0-9]{1,2}[A-Z]?(?=[ \t]))[ \t]{0,2}$",
    re.IGNORECASE,
)
_OF_SENTENCES = re.compile(
    r"\b(?:at|by|until|till|around|before|after|since|past|um|bis|gegen|a las|\u00e0)[ \t]{1,2}$", re.IGNORECASE
)


def _counts(one: _Sighting, zeros: set[str]) -> bool:
    """Whether a time stands where lists have theirs.

    zeros   kinds of which a 0 stands in the text, and LIST where it begins a line.
    """
    if one.range and one.kind != LONG:
        return True
    if one.kind == CLOCK:
        if _OF_SENTENCES.search(one.before) and not (one.early and LIST in zeros):
            return one.of_film and one.after[:1] in (",", ":")
        listed = CLOCK in zeros and (one.parted or one.keyed or one.early)
        return one.opens or one.last or listed or {CLOCK, LIST} <= zeros
    if one.kind == LONG:
        if one.range:
            return (
                LONG in zeros
                or one.opens
                or one.apart
                or one.parted
                or one.keyed
                or _FROM.search(one.before) is not None
            )
        in_bracket = one.lead[-1:] in ("(", "[", "|") and one.after[:1] in (")", "]", "|", ",")
        spans = _SPANNING.search(one.before) is not None
        begins = (one.opens or one.parted or one.lead != one.before.rstrip()) and one.keyed
        ends = one.parted and one.last
        return LONG in zeros or in_bracket or begins or ends or spans or (one.early and one.after[:1] == ":")
    led = one.lead != one.before.rstrip()
    pair = (one.parted or led) and (one.after[:1] in (",", ";") or (one.parted and led))
    return SHORT in zeros or one.opens or one.last or one.apart or one.keyed or pair


def _strays(one: _Sighting, begins: bool, clock: bool, bracket: bool) -> bool:
    """Whether a time among the words of one of several prompts was meant to begin another; as in `holds_time`."""
    opens = one.opens and begins
    if one.of_day:
        return opens
    if one.range and one.kind != LONG:
        return not _LASTING.search(one.before)
    if one.kind == CLOCK:
        parted = one.parted or (one.early and begins)
        return opens or (clock and (one.keyed or one.of_film or (parted and not _OF_SENTENCES.search(one.before))))
    if one.kind == LONG:
        behind = one.after[:1] in (*_KEY_SIGNS, ",") and one.lead != one.before.rstrip()
        named = one.after[:1] == ":" and one.early
        if one.range:
            return one.apart or one.keyed or opens
        if re.search(r"\bat[ \t]$", one.before, re.IGNORECASE):
            return True
        return begins and (named or (opens and (one.keyed or behind or one.after.startswith(("in:", "mark:")))))
    in_words = one.lead[-1:] == "(" and not one.last and not bracket
    return opens or (not in_words and (one.apart or one.keyed or (one.parted and (one.last or one.after[:1] == ","))))


_LASTING = re.compile(words.LASTING, re.IGNORECASE)
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
      | t[ \t]?[:=+_]?[ \t]?{words.NUMBER}[ \t]{{0,3}}[])>:|/*=,;.\u2013\u2014\u2192<-]   # t0: a
      | f[0-9]{{1,6}}(?:\]|[ \t]?:)                              # f3: a
      | pt[0-9]{{1,5}}[sm]\b                                     # PT3S: a
      | (?<=@)[0-9]{{1,6}}[ \t]                                  # @48 a
      | [0-9]{{1,3}}(?:['"\u2032\u2033]|[.][0-9]{{1,3}}[ \t])    # 3' a, 0.5 a
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
