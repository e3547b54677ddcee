"""The frames form: video frames as keys, `"0": "...", "24": "..."`.

It is that of FizzNodes (BatchPromptSchedule), AnimateDiff-Evolved, Deforum and AnimateDiff's command line, whose files
have `prompt_map` between `head_prompt` and `tail_prompt`. Prompts are held here, not blended; the same prompt again
only holds it. A key may be a range, `"0-24"`, or a time with its unit, `"1.5s"`. Quotes may be single or curly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .assembly import read_ranges, without_repeats
from .entries import Left
from .errors import ScheduleError, check_text, require, shorten, show
from .fold import fold
from .limits import check_count
from .line import Entry
from .literal import read_string, skip_blank
from .moments import find_stretch
from .notes import note
from .schedule import PromptSchedule, Segment
from .time import Time

_QUOTE = "[\"'\u201c\u201d\u2018\uff02]"
_COLON = "[:=\uff1a]"
_STRING = "(?:\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|\u201c[^\u201d]*\u201d|\u2018[^\u2019]*\u2019)"
_FRAME = r"[0-9][\w.%]{0,20}(?:[ \t]{0,3}[-\u2013~][ \t]{0,3}[0-9][\w.%]{0,20})?"
# a quoted frame; `0 = "..."`; `{0: "..."`; or `0: "...", 24: "`, since `0: "..."` alone is a line of the text form
_START = re.compile(
    rf"\{{?\s*(?:\"[-+.]?[0-9][^\"]*\")\s*{_COLON}"
    rf"|\{{?\s*(?:'[0-9][^'\n]{{0,60}}'|[\u201c\u201d\uff02][0-9][^\u201c\u201d\uff02]{{0,60}}[\u201c\u201d\uff02])\s*{_COLON}\s*{_QUOTE}"
    rf"|\{{?\s*[0-9]+\s*=\s*{_QUOTE}|\{{\s*{_FRAME}\s*{_COLON}\s*{_QUOTE}"
    rf"|{_FRAME}\s*{_COLON}\s*{_STRING}\s*,\s*{_QUOTE}?{_FRAME}{_QUOTE}?\s*{_COLON}\s*{_QUOTE}",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[^\"=:\uff1a\s][^\"=:\uff1a\n]{0,60}")
_SETTINGS = ("prompt_map", "head_prompt", "tail_prompt")


def is_frames_text(text: str) -> bool:
    """Whether a text starts like the frames form."""
    return _START.match(text) is not None


def is_frames_object(source: Mapping[Any, Any]) -> bool:
    """Whether every key of an object starts with a digit."""
    return bool(source) and all(isinstance(key, str) and key[:1].isdigit() for key in source)


def from_frames_object(source: Mapping[str, Any]) -> PromptSchedule:
    """Read an object with video frames as keys. Raises ScheduleError."""
    return _made([(*_times(key), _prompt(prompt)) for key, prompt in source.items()])


def from_prompt_map(source: Mapping[str, Any]) -> PromptSchedule:
    """Read the settings of AnimateDiff's command line, of which only the prompts count. Raises ScheduleError."""
    frames = source["prompt_map"]
    require(
        isinstance(frames, Mapping) and is_frames_object(frames),
        f'prompt_map is {show(frames)}, but must have video frames as keys, as in {{"0": "a prompt"}}.',
    )
    head, tail = (source.get(key) or "" for key in ("head_prompt", "tail_prompt"))
    for name, text in (("head_prompt", head), ("tail_prompt", tail)):
        check_text(name, text)
    if tail:
        frames = {key: f"{_prompt(prompt).rstrip(' ,')}, {tail}" for key, prompt in frames.items()}
    schedule = from_frames_object(frames)
    others = [key for key in source if key not in _SETTINGS]
    told = [note("other settings than prompts left out: {0}", ", ".join(shorten(str(key), 20) for key in others[:6]))]
    made = PromptSchedule(schedule.segments, head.strip(), schedule.length, notes=schedule.notes)
    return made.with_notes(told if others else [])


def from_frames_text(text: str) -> PromptSchedule:
    """Read `"0": "a", "24": "b",` with or without braces; `=` for `:`, a comma at the end and line breaks are forgiven.

    Raises ScheduleError with the number of the line.
    """
    position, end = 0, len(text)
    if text.startswith("{"):
        require(text.endswith("}"), "the schedule starts with '{', but has no '}' at its end: add it.")
        position, end = 1, len(text[:-1].rstrip())
    pairs = []
    position = skip_blank(text, position)
    while position < end:
        try:
            pair, position = _read_pair(text, position, end)
            pairs.append(pair)
            if position < end and text[position] not in ",\uff0c":
                raise ScheduleError(f"expected a comma before {shorten(text[position : position + 60])}.")
        except ScheduleError as error:
            raise ScheduleError(f"line {_line_of(text, position)}: {error}") from None
        position = skip_blank(text, position + 1)
    return _made(pairs)


def _read_pair(text: str, position: int, end: int) -> tuple[tuple[Time, Time | None, str], int]:
    """The times and the prompt at a position, and where they end."""
    key = read_string(text, position)
    if key is None and (bare := _BARE_KEY.match(text, position, end)):
        key = bare[0], bare.end()
    at = skip_blank(text, key[1]) if key else position
    found = read_string(text, skip_blank(text, at + 1)) if key and text[at : at + 1] in (":", "=", "\uff1a") else None
    if key is None or found is None or found[1] > end:
        rest = text[position : position + 60].strip()
        raise ScheduleError(
            f'expected "frame": "prompt", not {shorten(rest)}: put the prompt in double quotes, and write \\" for a '
            f"quote within."
        )
    return (*_times(key[0]), found[0]), min(skip_blank(text, found[1]), end)


def _prompt(value: Any) -> str:
    """The text of a key: itself, or the only one of a list."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        require(
            len(value) == 1,
            f"{show(value)} holds {len(value)} prompts for one time, but prompts are not blended: keep one.",
        )
        value = value[0]
    check_text("prompt", value)
    return value


def _times(key: str) -> tuple[Time, Time | None]:
    # a colon behind the frame turns blending off, and there is none here
    digits = key.strip().removesuffix(":")
    if digits.isascii() and digits.isdigit() and len(digits) <= 13:
        return Time(int(digits), "frames"), None
    folded = fold(digits).text.strip()
    stretch = find_stretch(folded, 0)
    known = stretch is not None and stretch.end == len(folded) and len(digits) < 100
    if stretch is None or not known or (stretch.kind == "bare" and not _is_whole(folded)):
        raise ScheduleError(
            f'key {shorten(key)} is no video frame: write a whole number, as in "24": "prompt".',
        )
    return stretch.times()


def _is_whole(folded: str) -> bool:
    return "." not in folded and "," not in folded


def _made(pairs: Sequence[tuple[Time, Time | None, str]]) -> PromptSchedule:
    """The schedule of starts, ends and prompts."""
    check_count("prompts", len(pairs))
    left = Left()
    entries = [Entry(number, start, [], end=end) for number, (start, end, _) in enumerate(pairs, 1)]
    prompts = [left.take(prompt, number) for number, (_, _, prompt) in enumerate(pairs, 1)]
    ranges = read_ranges([(start, end) for start, end, _ in pairs])
    kept = without_repeats(entries, prompts, left)
    segments = tuple(Segment(entry.start, prompt) for entry, prompt in kept)
    return PromptSchedule(segments, length=ranges.length, notes=(*left.notes(), *ranges.notes))


def _line_of(text: str, position: int) -> int:
    """The line, from 1, of the first character from `position` on that is no space."""
    while position < len(text) and text[position].isspace():
        position += 1
    return text.count("\n", 0, position) + 1
