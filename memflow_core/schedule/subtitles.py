"""Subtitles as schedules: SRT, WebVTT and SBV. A cue is a prompt that holds until the next.

The last end is the length. Marks of type and place are left out, and so are notes, styles and names of cues.
"""

from __future__ import annotations

import re

from .assembly import assemble
from .entries import Left, at_line, refuse_times
from .errors import ScheduleError
from .fold import fold
from .limits import check_count
from .line import Entry
from .loose_line import is_timed
from .moments import Stretch, find_stretch
from .notes import note
from .schedule import PromptSchedule

_ARROW = re.compile(r"[0-9:.,]{4,13}[ \t]{0,9}--?>")
# where a cue stands on the picture
_PLACING = re.compile(r"(?:[ \t]+(?:align|line|position|size|vertical|region|[XY][12]):\S{1,40})*[ \t]*$")
_NUMBER = re.compile(r"[0-9]{1,6}$")
# of type, place, voice and song within a cue
_MARKS = re.compile(
    r"</?(?:[biu]|c|v|lang|ruby|rt|font)(?:[ \t.][^<>\n]{0,80})?>|<[0-9:.]{5,12}>|\{\\[^{}\n]{1,80}\}", re.IGNORECASE
)
_VOICE = re.compile(r"<v[ \t.]", re.IGNORECASE)
_COMMENT = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t]|$)")
# a number before the times on their line
_NUMBERED = re.compile(r"[0-9]{1,6}[ \t]{1,9}(?=[0-9]{1,4}:[0-9]{2})")
_SBV = re.compile(r"([0-9]{1,2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}),([0-9]{1,2}:[0-9]{2}:[0-9]{2}\.[0-9]{3})$")
_STAMP = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?[.,][0-9]{2,3}|.{0,40}-->")


def read_subtitles(text: str) -> PromptSchedule | None:
    """Read subtitles; None for a text that is none. Raises ScheduleError with the line."""
    lines = [_SBV.sub(r"\1 --> \2", line.strip()) for line in text.split("\n")]
    if not any("->" in line for line in lines):
        return None
    cues = [(number, found) for number, line in enumerate(lines) if (found := _cue(line, number + 1))]
    if not cues:
        return None
    check_count("prompts", len(cues))
    left = Left()
    entries, prompts = [], []
    ends = [*(number for number, _ in cues[1:]), len(lines)]
    _check_stamps(lines[: cues[0][0]], 1)
    head = _names_of_cue(lines[: cues[0][0]], 1, left)
    is_vtt = lines[0].startswith("WEBVTT")
    for (number, stretch), end in zip(cues, ends, strict=True):
        start, until = at_line(number + 1, stretch.times)
        words = lines[number + 1 : end]
        if end < len(lines):
            words = _names_of_cue(words, number + 2, left)
        if is_vtt:
            words = _without_comments(words, number + 2, left)
        entries.append(Entry(number + 1, start, [], end=until, loose=True))
        _check_words(words, number + 2)
        prompts.append(left.take(_plain(words, number + 2, left), number + 1))
    above = any(line and not line.startswith("WEBVTT") for line in head)
    return assemble(entries, prompts, left, [note("lines before the first cue left out")] if above else [])


def _cue(line: str, number: int) -> Stretch | None:
    """The stretch of a line that holds nothing else."""
    folded = fold(line).text
    numbered = _NUMBERED.match(folded)
    folded = folded[numbered.end() :] if numbered else folded
    if not _ARROW.match(folded):
        return None
    stretch = at_line(number, lambda: find_stretch(folded, 0))
    whole = stretch is not None and stretch.is_range and _PLACING.match(folded, stretch.end)
    return stretch if whole else None


def _names_of_cue(words: list[str], first: int, left: Left) -> list[str]:
    """Lines without the number or the name of the cue that follows, which stands alone right above its times."""
    if not words or not words[-1]:
        return words
    if _NUMBER.match(words[-1]):
        return words[:-1]
    if len(words) > 1 and not words[-2]:
        left.lines.append(first + len(words) - 1)
        return words[:-1]
    return words


def _without_comments(words: list[str], first: int, left: Left) -> list[str]:
    """Lines of a WebVTT cue without the notes and styles that stand behind it, each up to an empty line."""
    kept, inside = [], False
    for place, word in enumerate(words):
        inside = bool(word) and (inside or (place > 0 and not words[place - 1] and bool(_COMMENT.match(word))))
        if inside:
            left.lines.append(first + place)
        else:
            kept.append(word)
    return kept


def _plain(words: list[str], first: int, left: Left) -> str:
    """The words of a cue in one line, without marks; lines of which the name of a speaker is left out are noted."""
    left.labels += [number for number, word in enumerate(words, first) if _VOICE.search(word)]
    bare = (" ".join(_MARKS.sub("", word).split()) if _MARKS.search(word) else word for word in words)
    return " ".join(word for word in bare if word)


def _check_words(words: list[str], first: int) -> None:
    """Raise ScheduleError for a cue without words, or with times in them: broken lines of other cues."""
    if not any(_MARKS.sub("", word).strip() for word in words):
        raise ScheduleError(f"line {first - 1}: this cue has no words: write its prompt below it, or take it out.")
    _check_stamps(words, first)


def _check_stamps(lines: list[str], first: int) -> None:
    """Raise ScheduleError for a line that starts with a time, the first of them having this number."""
    for number, line in enumerate(lines, first):
        if is_timed(line) or _STAMP.match(fold(line).text):
            raise refuse_times(number, line)
