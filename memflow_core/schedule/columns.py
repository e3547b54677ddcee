"""What the columns of a table hold: times, prompts, and how prompts join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .errors import shorten
from .foreign import switch_of
from .notes import Note, note

EMPTY = ("", "-", "None")


@dataclass(frozen=True)
class Row:
    """Cells of one row, and the number of its first line."""

    number: int
    cells: list[str]


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None for one that there is not.

    units    by column, from its name.
    unread   names of the columns that are left out.
    width    how many columns have names.
    options  columns of seeds and switches, by these words.
    """

    prompt: int
    start: int | None
    end: int | None
    duration: int | None
    units: dict[int, str]
    unread: list[str]
    width: int
    options: dict[str, int]

    def notes(self) -> list[Note]:
        """What is left out."""
        unread = ", ".join(shorten(name, 20) for name in self.unread if name)
        return [note("columns left out: {0}", unread)] if unread else []


def with_joins(columns: Columns, rows: Sequence[Row]) -> tuple[Columns, list[Note]]:
    """Take a column of joins as that of switches, and tell it, if all its words stand for some; else leave it out."""
    options, place = dict(columns.options), columns.options.get("join")
    if place is None:
        return columns, []
    del options["join"]
    name = rows[0].cells[place]
    words = [row.cells[place] for row in rows[1:] if place < len(row.cells)]
    if "switch" in options or not all(word in EMPTY or switch_of(word) for word in words):
        return replace(columns, options=options, unread=[*columns.unread, name]), []
    told = note("the column {0} is read as how a prompt takes over from the one before it", shorten(name, 20))
    return replace(columns, options={**options, "switch": place}), [told]
