"""The frames form: video frames as keys, `"0": "...", "24": "..."`.

It is that of FizzNodes (BatchPromptSchedule) and AnimateDiff-Evolved. Prompts are held here, not blended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .errors import ScheduleError, require, shorten
from .schedule import PromptSchedule, Segment
from .time import Time

_STRING = r'"(?:[^"\\]|\\.)*"'
_PAIR = re.compile(rf'\s*("[^"]*"|[^"=:\s]+)\s*[:=]\s*({_STRING})\s*', re.DOTALL)
# a quoted frame; `0 = "..."`; `{0: "..."`; or `0: "...", 24: "`, since `0: "..."` alone is a line of the text form
_START = re.compile(
    r'\{?\s*"[-+.]?[0-9][^"]*"\s*[:=]|\{?\s*[0-9]+\s*=\s*"|\{\s*[0-9]+\s*:\s*"'
    rf'|[0-9]+\s*:\s*{_STRING}\s*,\s*"?[0-9]+"?\s*[:=]\s*"',
    re.DOTALL,
)


def is_frames_text(text: str) -> bool:
    """Whether a text starts like the frames form."""
    return _START.match(text) is not None


def is_frames_object(source: Mapping[Any, Any]) -> bool:
    """Whether every key of an object starts with a digit."""
    return bool(source) and all(isinstance(key, str) and key[:1].isdigit() for key in source)


def from_frames_object(source: Mapping[str, Any]) -> PromptSchedule:
    """Read an object with video frames as keys. Raises ScheduleError."""
    return PromptSchedule(tuple(Segment(_frame(key), prompt) for key, prompt in source.items()))


def from_frames_text(text: str) -> PromptSchedule:
    """Read `"0": "a", "24": "b",` with or without braces; `=` for `:`, a comma at the end and line breaks are forgiven.

    Raises ScheduleError with the number of the line.
    """
    position, end = 0, len(text)
    if text.startswith("{"):
        require(text.endswith("}"), "the schedule starts with '{', but has no '}' at its end: add it.")
        position, end = 1, len(text[:-1].rstrip())
    segments = []
    while position < end:
        try:
            segment, position = _read_pair(text, position, end)
            segments.append(segment)
            if position < end and text[position] != ",":
                raise ScheduleError(f"expected a comma before {shorten(text[position : position + 60])}.")
        except ScheduleError as error:
            raise ScheduleError(f"line {_line_of(text, position)}: {error}") from None
        position += 1
    return PromptSchedule(tuple(segments))


def _read_pair(text: str, position: int, end: int) -> tuple[Segment, int]:
    """The frame and prompt at a position, and where they end."""
    pair = _PAIR.match(text, position, end)
    if pair is None:
        rest = text[position : position + 60].strip()
        raise ScheduleError(
            f'expected "frame": "prompt", not {shorten(rest)}: put the prompt in double quotes, and write \\" for a '
            f"quote within."
        )
    try:
        prompt = json.loads(pair[2], strict=False)
    except ValueError:
        raise ScheduleError(f"{shorten(pair[2])} holds a backslash that means nothing: write \\\\ for it.") from None
    return Segment(_frame(pair[1].strip('"')), prompt), pair.end()


def _frame(key: str) -> Time:
    # a colon behind the frame turns blending off, and there is none here
    digits = key.strip().removesuffix(":")
    require(
        digits.isascii() and digits.isdigit() and len(digits) <= 13,
        f'key {shorten(key)} is no video frame: write a whole number, as in "24": "prompt".',
    )
    return Time(int(digits), "frames")


def _line_of(text: str, position: int) -> int:
    """The line, from 1, of the first character from `position` on that is no space."""
    while position < len(text) and text[position].isspace():
        position += 1
    return text.count("\n", 0, position) + 1
