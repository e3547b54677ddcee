"""Errors of schedules, and values cut short for error messages."""

from __future__ import annotations

import reprlib


class ScheduleError(ValueError):
    """A schedule that cannot be read or placed. The message is one sentence and names the fix."""


def require(condition: bool, message: str) -> None:
    """Raise ScheduleError with `message` unless `condition` holds."""
    if not condition:
        raise ScheduleError(message)


def show(value: object) -> str:
    """Format any value for an error message, cut short however large or deeply nested it is."""
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):  # an int with thousands of digits, for one
        return f"a {type(value).__name__} of great size"


def shorten(prompt: str, limit: int = 40) -> str:
    """Quote a prompt for an error message, cut to `limit` characters."""
    return repr(prompt if len(prompt) <= limit else prompt[: limit - 3] + "...")


def check_text(name: str, text: object) -> None:
    """Raise ScheduleError unless `text` is a str that a file can keep whole. `name` stands in the message."""
    if not isinstance(text, str):
        raise ScheduleError(f"{name} is {show(text)}, but must be text.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ScheduleError(
            f"{name} holds half a character (a lone surrogate) at position {error.start}: type it anew."
        ) from None
    # a video's tag ends at the first one, and with it what was played
    if "\0" in text:
        raise ScheduleError(f"{name} holds a NUL character at position {text.index(chr(0))}: leave it out.")
