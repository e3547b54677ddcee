"""Read values as people write them: JSON with comments, any quotes, commas at the end, and literals of Python.

Nothing is evaluated.

A reader walks over the text once. What it cannot read it refuses with the line.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import ScheduleError, shorten

MOST_DEEP = 40

_BLANK = re.compile(r"(?:[\s\u200b\u2060\ufeff]+|//[^\n]*|#[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)*")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][-+]?[0-9]{1,5})?(?![\w.])")
_WORD = re.compile(r"[^\W\d][\w-]{0,60}")
_RANGE_KEY = re.compile(r"[0-9][\w.%\u2013-]{0,40}")
_STRING_START = re.compile(r"[rbufRBUF]{0,2}(\"\"\"|'''|[\"'\u201c\u201d\u201e\u2018\u2019`\uff02])")
_CLOSERS = {
    "\u201c": "\u201c\u201d",
    "\u201d": "\u201d",
    "\u201e": "\u201c\u201d",
    "\u2018": "\u2019",
    "\u2019": "\u2019",
    "\uff02": "\uff02",
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "a": "\a", "v": "\v"}
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_BRACKETS = {"{": "}", "[": "]", "(": ")"}


def skip_blank(text: str, at: int) -> int:
    """The place of the next character that is neither space nor comment."""
    found = _BLANK.match(text, at)
    return found.end() if found else at


def read_string(text: str, at: int) -> tuple[str, int] | None:
    """The quoted string at a place, in any quotes, and where it ends; None for none. Raises ScheduleError."""
    start = _STRING_START.match(text, at)
    if not start:
        return None
    opened, at = start[1], start.end()
    if len(opened) == 3:
        end = text.find(opened, at)
        if end < 0:
            raise ScheduleError("a string in three quotes does not end: add the quotes behind it.")
        return text[at:end], end + 3
    closers = _CLOSERS.get(opened, opened)
    parts: list[str] = []
    begin = at
    while at < len(text):
        character = text[at]
        if character == "\\":
            parts.append(text[begin:at])
            escape, at = _escape(text, at)
            parts.append(escape)
            begin = at
        elif character in closers:
            return "".join([*parts, text[begin:at]]), at + 1
        else:
            at += 1
    raise ScheduleError(f"a string that starts with {opened} does not end: add the quote behind it.")


def _escape(text: str, at: int) -> tuple[str, int]:
    """The character that a backslash and what follows it stand for, and where they end."""
    kind = text[at + 1 : at + 2]
    if kind == "u":
        try:
            # pairs of surrogates are one character
            pair = (
                text[at : at + 12]
                if text[at + 6 : at + 8] == "\\u" and text[at + 2 : at + 3] in "dD"
                else text[at : at + 6]
            )
            return json.loads(f'"{pair}"'), at + len(pair)
        except ValueError:
            raise ScheduleError(f"{shorten(text[at : at + 6])} is no character: write \\\\ for a backslash.") from None
    if kind == "\n":
        return "", at + 2
    if kind in _ESCAPES:
        return _ESCAPES[kind], at + 2
    if kind and not kind.isalnum():
        return kind, at + 2
    raise ScheduleError(f"{shorten(text[at : at + 6])} holds a backslash that means nothing: write \\\\ for it.")


def read_literal(text: str) -> Any:
    """Parse a whole text into dicts, lists, strings, numbers, booleans and None. Raises ScheduleError with the line.

    Keys of dicts are strings; a repeated one is refused.
    """
    at = skip_blank(text, 0)
    reader = _LiteralReader(text)
    try:
        value, at = reader.value(at, 0)
        at = skip_blank(text, at)
        if at < len(text.rstrip(" \t\r\n,;")):
            raise ScheduleError(f"there is more behind the end: {shorten(text[at : at + 60])}.")
    except ScheduleError as error:
        line = text.count("\n", 0, reader.at) + 1
        reason = str(error)[:-1]
        raise ScheduleError(
            f"line {line}: this is no valid JSON ({reason}): mend it, or write the schedule as text, one "
            f"'10s: prompt' a line."
        ) from None
    return value


class _LiteralReader:
    """Reads values from places of one text. `at` is the last place that was begun, for errors."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """The value at a place, and where it ends. Raises ScheduleError."""
        self.at = at
        if depth > MOST_DEEP:
            raise ScheduleError("it is nested too deeply to be a schedule.")
        opened = self.text[at : at + 1]
        if opened == "{":
            return self._dict(at + 1, depth)
        if opened in ("[", "("):
            return self._list(at + 1, depth, _BRACKETS[opened])
        if string := read_string(self.text, at):
            return string
        if number := _NUMBER.match(self.text, at):
            value = float(number[0])
            return (int(number[0]) if re.fullmatch(r"[-+]?[0-9]+", number[0]) else value), number.end()
        word = _WORD.match(self.text, at)
        if word and word[0] in _CONSTANTS:
            return _CONSTANTS[word[0]], word.end()
        shown = shorten(self.text[at : at + 60]) if opened else "the end of the text"
        raise ScheduleError(f"expected a value, but found {shown}.")

    def _list(self, at: int, depth: int, closer: str) -> tuple[list[Any], int]:
        values = []
        at = skip_blank(self.text, at)
        while self.text[at : at + 1] != closer:
            value, at = self.value(at, depth + 1)
            values.append(value)
            at = self._next(at, closer)
        return values, at + 1

    def _dict(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = skip_blank(self.text, at)
        while self.text[at : at + 1] != "}":
            self.at = at
            key, at = self._key(at)
            at = skip_blank(self.text, at)
            if self.text[at : at + 1] not in (":", "=", "\uff1a"):
                raise ScheduleError(f"expected a colon behind {shorten(key)}.")
            value, at = self.value(skip_blank(self.text, at + 1), depth + 1)
            if key in found:
                raise ScheduleError(f"key {shorten(key)} is given twice: keep one.")
            found[key] = value
            at = self._next(at, "}")
        return found, at + 1

    def _key(self, at: int) -> tuple[str, int]:
        if string := read_string(self.text, at):
            return string
        word = _RANGE_KEY.match(self.text, at) or _WORD.match(self.text, at)
        if word is None:
            raise ScheduleError(f"expected a key, but found {shorten(self.text[at : at + 60])}.")
        return word[0], word.end()

    def _next(self, at: int, closer: str) -> int:
        """Behind a comma, or at the closing bracket. Raises ScheduleError where neither follows."""
        at = skip_blank(self.text, at)
        if self.text[at : at + 1] in (",", "\uff0c"):
            return skip_blank(self.text, at + 1)
        if self.text[at : at + 1] == closer:
            return at
        self.at = min(at, len(self.text) - 1)
        raise ScheduleError(f"expected a comma or {closer} before {shorten(self.text[at : at + 60])}.")
