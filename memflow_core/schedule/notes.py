"""Notes: what reading a schedule left out or took in another way than it is written, told in short sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """A text in English, in which {0}, {1} ... stand for the values. str() fills them in."""

    text: str
    values: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return self.text.format(*self.values)


def note(text: str, *values: str | int) -> Note:
    """Make a note of a text and the values in it."""
    return Note(text, values)


def lines_left_out(numbers: Sequence[int]) -> list[Note]:
    """The note of lines that were left out, by their numbers; none for none."""
    count = len(set(numbers))
    if count == 1:
        return [note("1 line left out ({0})", numbers[0])]
    return [note("{0} lines left out ({1})", count, listed(numbers))] if count else []


MOST_LISTED = 8


def listed(numbers: Sequence[int]) -> str:
    """Write numbers for a note, in order and each once: `3, 7, 9`, the first few of many."""
    ordered = sorted(set(numbers))
    more = ", ..." if len(ordered) > MOST_LISTED else ""
    return ", ".join(map(str, ordered[:MOST_LISTED])) + more
