"""Messages for people, kept apart from the values in them so that the page can translate them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """A text in English, in which {0}, {1} ... stand for the values. str() fills them in."""

    text: str
    values: tuple[str | int | Message, ...] = ()

    def __str__(self) -> str:
        return self.text.format(*self.values)

    def to_json(self) -> list[Any]:
        """Return the text and its values, fit for JSON. A value may be such a list itself."""
        return [self.text, *(value.to_json() if isinstance(value, Message) else value for value in self.values)]


def message(text: str, *values: str | int | Message) -> Message:
    return Message(text, values)
