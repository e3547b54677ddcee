"""From lines with times to segments: words that are left out, times within a line, ranges, and repeated prompts."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from .errors import ScheduleError, shorten
from .fold import unwrap_curly
from .guard import begins_with_time, count_times, holds_time, looks_timed
from .inline import InlineTime, count_quoted_keys, find_brackets, find_keys, split_line
from .leftovers import EXPRESSION, NEGATIVE, without_leftovers
from .line import Entry, quoted_string
from .notes import Note, lines_left_out, listed, note
from .sightings import SHORT
from .spans import find_lengths
from .time import Time, format_time

Made = TypeVar("Made")


@dataclass
class Left:
    """Numbers of lines of which something was left out, by what it was."""

    lines: list[int] = field(default_factory=list)
    negatives: list[int] = field(default_factory=list)
    expressions: list[int] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    repeats: int = 0

    def notes(self) -> list[Note]:
        """Notes of all that was left out."""
        told = lines_left_out(self.lines)
        if self.negatives:
            told.append(note("negative prompts left out, since the model takes none ({0})", listed(self.negatives)))
        if self.expressions:
            told.append(note("expressions in backticks left out ({0})", listed(self.expressions)))
        if self.labels:
            told.append(note("words before the times left out ({0})", listed(self.labels)))
        if self.behind:
            told.append(note("the last prompt goes on behind an empty line ({0})", listed(self.behind)))
        if self.repeats:
            told.append(note("prompts that repeat the one before them only hold it: {0}", self.repeats))
        return told

    def take(self, prompt: str, number: int) -> str:
        """A prompt without what the model cannot take, which is noted for the line of this number."""
        prompt, kinds = without_leftovers(prompt)
        for kind, numbers in ((NEGATIVE, self.negatives), (EXPRESSION, self.expressions)):
            if kind in kinds:
                numbers.append(number)
        return prompt


def clean_prompt(text: str, number: int, left: Left) -> str:
    """The prompt that stands in a text: literal in double quotes, else without curly ones and what is left out."""
    quoted = quoted_string(text)
    if quoted is not None:
        return quoted
    curly = unwrap_curly(text)
    return left.take(text if curly is None else curly, number)


def is_plain_prompt(prompt: str) -> bool:
    """Whether a prompt reads as itself without double quotes: it has no part that would be left out or split off."""
    if (
        is_single_quoted(prompt)
        or prompt[:1] in WRAPS
        or prompt[:1] in MARKS
        or _is_sign(prompt[:1])
        or _NUMBERS.fullmatch(prompt)
    ):
        return False
    timed = _times_within(prompt) or sure_times(prompt) or count_times(prompt) or looks_timed(prompt)
    timed = timed or count_times(prompt, SHORT) or holds_time(prompt, begins=False, clock=True, bracket=True)
    timed = timed or find_lengths(prompt) is not None
    return clean_prompt(prompt, 0, Left()) == prompt and not (timed or begins_with_time(prompt))


def check_prompts(entries: Sequence[Entry]) -> None:
    """Raise ScheduleError for a prompt that begins with a second time: `0s / 3s: a`."""
    for entry in entries:
        text = entry.text
        if quoted_string(text) is not None:
            continue
        if not text:
            raise ScheduleError(
                f"line {entry.number}: there is no prompt behind the time: write it there or below, "
                f'or "" for none; in front of its time it is not read.'
            )
        if _NUMBERS.fullmatch(text):
            raise ScheduleError(
                f"line {entry.number}: {shorten(text)} is a number, no prompt: write words, or put it in double quotes."
            )
        if any(time.stretch.kind == "count" and time.joint.strip() for time in find_keys(text)):
            raise refuse_times(entry.number, text)
        if begins_with_time(text):
            raise ScheduleError(
                f"line {entry.number}: {shorten(text)} begins with a second time: write a range as in '0-3s: a', "
                f"or, for words, double quotes as in {format_time(entry.start)}: {quoted(text)}."
            )


# weights of another program's parameter, `0:(1.0), 16:(0.5)`
_NUMBERS = re.compile(r"[-+(]*[0-9]+(?:\.[0-9]*)?[)]*")


def quoted(prompt: str) -> str:
    """A prompt in double quotes as an example, cut short."""
    return json.dumps(prompt if len(prompt) <= 40 else prompt[:37] + "...", ensure_ascii=False)


def check_strays(entries: Sequence[Entry]) -> None:
    """Raise ScheduleError for a time that is left among the words of one of several prompts."""
    if len(entries) < 2:
        return
    clock, bracket = entries[0].style[0] == "clock", bool(entries[0].style[2:] and entries[0].style[2])
    for entry in entries:
        if quoted_string(entry.text) is not None:
            continue
        for place, line in enumerate(entry.lines):
            if holds_time(line, begins=place > 0, clock=clock, bracket=bracket):
                raise refuse_times([entry.number, *entry.numbers][place], line)


# marks that stand before every prompt of a list, or around it
MARKS = frozenset("=>/|\u2026\u2022\u00b7\u3002\u3001\u30fb\u27a1\u25b6\u2192\u279c\u00bb-\u2013\u2014")
WRAPS = {"*": "*", "_": "_", "\u00ab": "\u00bb", "\u300c": "\u300d", "\u2018": "\u2019"}


def without_marks(texts: Sequence[str]) -> list[str]:
    """Prompts without the mark that stands before each of them, or around each."""
    firsts = {text[:1] for text in texts}
    if len(texts) < 2 or len(firsts) > 1:
        return list(texts)
    (first,) = firsts
    if first and (first in MARKS or _is_sign(first)):
        return [text.lstrip(first + "\ufe0f").strip() for text in texts]
    close = WRAPS.get(first)
    if close is None or any(len(text) < 3 or text[-1] != close for text in texts):
        return list(texts)
    inner = [text.lstrip(first).rstrip(close) for text in texts]
    return list(texts) if any(first in text or close in text for text in inner) else inner


def _is_sign(character: str) -> bool:
    return bool(character) and unicodedata.category(character) in ("So", "Sm")


_NAME = re.compile(
    r"(?:prompt|description|text|visual|action|in|mark|caption|content|提示词|画面)[ \t]{0,3}[:\uff1a][ \t]{0,9}",
    re.IGNORECASE,
)
# `<0-3s>a</0-3s>`
_CLOSING = re.compile(r"[ \t]{0,3}[\[<]/[0-9][^\[\]<>]{0,30}[\]>]$")


_LIST_MARK = re.compile(r"[-*\u2022][ \t]{1,9}")


def without_list_marks(entries: Sequence[Entry]) -> None:
    """Take the marks off the lines below a time where they are a list."""
    for entry in entries:
        first, *more = entry.lines
        if entry.loose and not first and len(more) > 1 and all(_LIST_MARK.match(line) for line in more):
            entry.lines = ["", *(_LIST_MARK.sub("", line, count=1) for line in more)]


def unwrap(entries: Sequence[Entry], left: Left) -> None:
    """Take off what stands around every prompt alike: quotes, marks, closing tags, or a word such as `Prompt:`."""
    texts = [entry.text for entry in entries]
    if len(entries) > 1 and all(is_single_quoted(text) for text in texts):
        texts = [text.removesuffix(",")[1:-1] for text in texts]
    found = [_NAME.match(text) for text in texts]
    names = {name[0].lower() if name else "" for name in found}
    loose = len(entries) > 1 and all(entry.loose for entry in entries)
    if loose and len(names) == 1 and "" not in names:
        texts = [text[name.end() :] for text, name in zip(texts, found, strict=True) if name]
        left.labels += [entry.number for entry in entries]
    texts = without_marks(texts)
    if loose and all(_CLOSING.search(text) for text in texts):
        texts = [_CLOSING.sub("", text) for text in texts]
    for entry, text in zip(entries, texts, strict=True):
        if text != entry.text:
            entry.lines = [text]


def check_units(entries: Sequence[Entry]) -> None:
    """Raise ScheduleError for a number without its unit among seconds: `0s`, `3`, `7s`."""
    seconds = [entry.start.value for entry in entries if entry.start.unit == "s"]
    for before, entry, after in zip([None, *entries], entries, [*entries[1:], None], strict=False):
        if entry.style[0] != "bare" or before is None or before.start.unit != "s" or not entry.start.value:
            continue
        value = entry.start.value
        between = after is not None and after.start.unit == "s" and before.start.value < value < after.start.value
        goes_on = before.end is not None and before.end.unit == "s" and before.end.value == value
        if seconds and (between or goes_on or value < 16):
            raise ScheduleError(
                f"line {entry.number}: {value:g} has no unit, so it counts video frames among seconds: write "
                f"'{value:g}s' for seconds, or '{value:g}f' for frames."
            )


def unitless(entries: Sequence[Entry]) -> list[Note]:
    """What is told of numbers without a unit, which often mean seconds; a 0 alone means the same in both.

    Raises ScheduleError for one that is no whole number, since there is no such frame.
    """
    bare = [entry for entry in entries if entry.style[0] == "bare" and entry.start.unit == "frames"]
    for entry in bare:
        if entry.start.value % 1:
            raise ScheduleError(
                f"line {entry.number}: {entry.start.value:g} has no unit, so it would count video frames, which are "
                f"whole: write '{entry.start.value:g}s' for seconds."
            )
    if not any(entry.start.value or (entry.loose and entry.end) for entry in bare):
        return []
    return [note("numbers without a unit are video frames ({0})", listed([entry.number for entry in bare]))]


def split_bars(text: str) -> list[str]:
    """The parts of `a | b`; a bar within brackets, as in `{red|blue}`, parts nothing."""
    steps = ((one in "([{") - (one in ")]}") for one in text)
    # a ')' that closes nothing is part of a smile
    _, *depths = itertools.accumulate(steps, lambda depth, step: max(0, depth + step), initial=0)
    bars = [at for at, (one, depth) in enumerate(zip(text, depths, strict=True)) if one == "|" and depth == 0]
    return [text[begin:end] for begin, end in zip([0, *(at + 1 for at in bars)], [*bars, len(text)], strict=True)]


def is_single_quoted(text: str) -> bool:
    """Whether one pair of single quotes stands around a text, with a comma behind it or none."""
    bare = text.removesuffix(",")
    return len(bare) > 2 and bare[0] == bare[-1] == "'" and "'" not in bare[1:-1]


def _times_within(text: str) -> list[InlineTime]:
    return [*find_keys(text), *find_brackets(text)]


def sure_times(text: str) -> int:
    """How many times stand within a text that can hardly be words of a sentence; none in one JSON string."""
    if quoted_string(text) is not None:
        return 0
    return count_quoted_keys(text) + sum(time.sure for time in _times_within(text))


def split_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Entries, with those parted that hold later times written like their own, all before the next entry."""
    parted: list[Entry] = []
    for entry, after in zip(entries, [*entries[1:], None], strict=True):
        text = entry.text
        found = None if quoted_string(text) is not None else split_line(text, entry.start, entry.style, entry.weak)
        if found is None or (after is not None and not is_before(found[1][-1].start, after.start)):
            parted.append(entry)
            continue
        first, pieces = found
        first, *prompts = _without_parentheses([first, *(piece.prompt for piece in pieces)], entry)
        parted.append(replace(entry, lines=[first], loose=True))
        for piece, prompt in zip(pieces, prompts, strict=True):
            parted.append(Entry(entry.number, piece.start, [prompt], entry.style, end=piece.end, loose=True))
    return parted


def is_before(time: Time, later: Time) -> bool:
    """Whether a time is earlier than another in the same unit."""
    return time.unit == later.unit and time.value < later.value


def _without_parentheses(prompts: list[str], entry: Entry) -> list[str]:
    """The prompts of keyframe strings, `0:(a), 40:(b)`, without the parentheses; all others as they are."""
    keyframes = entry.style[0] == "bare" and all(_is_enclosed(prompt) for prompt in prompts)
    return [prompt[1:-1].strip() for prompt in prompts] if keyframes else prompts


def _is_enclosed(prompt: str) -> bool:
    """Whether one pair of parentheses stands around all of a prompt."""
    depth = 0
    for place, character in enumerate(prompt):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place == len(prompt) - 1 and prompt[0] == "("
    return False


def at_line(number: int, make: Callable[[], Made]) -> Made:
    """What `make` returns; its ScheduleError is raised anew with the number of the line."""
    try:
        return make()
    except ScheduleError as error:
        raise ScheduleError(f"line {number}: {error}") from None


def refuse_lengths(number: int, line: str) -> ScheduleError:
    """The error of how long a shot lasts in the place of a time."""
    return ScheduleError(
        f"line {number}: {shorten(line)} says how long a prompt lasts: write the start of each prompt, not how long it "
        f"lasts, as in '0s: a prompt'; a whole text in double quotes is one prompt."
    )


def refuse_times(number: int, line: str) -> ScheduleError:
    """The error of a time that is not read as one."""
    return ScheduleError(
        f"line {number}: {shorten(line)} holds a time that cannot be read as one: write each prompt on a line of its "
        f"own, as in '4s: a prompt', or in double quotes after its time if it means no time; a whole text in double "
        f"quotes is one prompt."
    )
