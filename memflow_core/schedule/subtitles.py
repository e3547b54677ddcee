"""Subtitles as schedules: SRT and WebVTT. A cue is a prompt that holds until the next; the last end is the length."""

from __future__ import annotations

import re

from .entries import Left, at_line, read_ranges, refuse_times, segments_of, without_repeats
from .errors import ScheduleError
from .fold import fold
from .limits import check_count
from .line import Entry
from .loose_line import STRONG, match_loose_line
from .moments import Stretch, find_stretch
from .notes import note
from .schedule import PromptSchedule
from .time import Time

_ARROW = re.compile(r"[0-9:.,]{4,13}[ \t]{0,9}--?>")
# where a cue stands on the picture
_PLACING = re.compile(r"(?:[ \t]+(?:align|line|position|size|vertical|region|[XY][12]):\S{1,40})*[ \t]*$")
_NUMBER = re.compile(r"[0-9]{1,6}$")
_STAMP = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?[.,][0-9]{2,3}|.{0,40}-->")


def read_subtitles(text: str) -> PromptSchedule | None:
    """Read subtitles; None for a text that is none. Raises ScheduleError with the line."""
    if "->" not in text and "-\u2192" not in text:
        return None
    lines = [line.strip() for line in text.split("\n")]
    cues = [(number, found) for number, line in enumerate(lines) if (found := _cue(line, number + 1))]
    if not cues:
        return None
    check_count("prompts", len(cues))
    left = Left()
    entries, prompts = [], []
    ends = [*(number for number, _ in cues[1:]), len(lines)]
    head = [line for line in lines[: cues[0][0]] if line]
    _check_stamps(lines[: cues[0][0]], 1)
    for (number, stretch), end in zip(cues, ends, strict=True):
        start, until = at_line(number + 1, stretch.times)
        words = lines[number + 1 : end]
        if end < len(lines):
            words = _without_number(words)
        entries.append(Entry(number + 1, start, [], end=until, loose=True))
        _check_words(words, number + 2)
        prompts.append(left.take(" ".join(word for word in words if word), number + 1))
    return _schedule(entries, prompts, left, head)


def _cue(line: str, number: int) -> Stretch | None:
    """The stretch of a line that holds nothing else."""
    folded = fold(line).text
    if not _ARROW.match(folded):
        return None
    stretch = at_line(number, lambda: find_stretch(folded, 0))
    whole = stretch is not None and stretch.is_range and _PLACING.match(folded, stretch.end)
    return stretch if whole else None


def _without_number(words: list[str]) -> list[str]:
    """Lines of a cue without the number of the next one, which stands right above its times."""
    return words[:-1] if words and _NUMBER.match(words[-1]) else words


def _check_words(words: list[str], first: int) -> None:
    """Raise ScheduleError for a cue without words, or with times in them: broken lines of other cues."""
    if not any(words):
        raise ScheduleError(f"line {first - 1}: this cue has no words: write its prompt below it, or take it out.")
    _check_stamps(words, first)


def _check_stamps(lines: list[str], first: int) -> None:
    """Raise ScheduleError for a line that starts with a time, the first of them having this number."""
    for number, line in enumerate(lines, first):
        found = match_loose_line(line) if line else None
        if (found is not None and found.strength == STRONG) or _STAMP.match(fold(line).text):
            raise refuse_times(number, line)


def _schedule(entries: list[Entry], prompts: list[str], left: Left, head: list[str]) -> PromptSchedule:
    spans: list[tuple[Time, Time | None]] = [(entry.start, entry.end) for entry in entries]
    ranges = read_ranges(spans)
    kept = without_repeats(entries, prompts, left)
    segments = segments_of([entry for entry, _ in kept], [prompt for _, prompt in kept])
    told = (
        []
        if not head or _NUMBER.match(head[-1]) or head[0].startswith("WEBVTT")
        else [note("lines before the first cue left out")]
    )
    return PromptSchedule(tuple(segments), length=ranges.length, notes=(*told, *left.notes(), *ranges.notes))
