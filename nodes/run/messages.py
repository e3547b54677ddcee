"""A sentence for people, kept apart from what is filled in: the page can say it in another language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """English by str(). {0}, {1} ... in the text stand for the values."""

    text: str
    values: tuple[str | int | Said, ...] = ()

    def __str__(self) -> str:
        return self.text.format(*self.values)

    def to_list(self) -> list:
        """The text and its values, fit for JSON. A value may be such a list itself."""
        return [self.text, *(value.to_list() if isinstance(value, Said) else value for value in self.values)]


def say(text: str, *values: str | int | Said) -> Said:
    return Said(text, values)
