"""Tables of prompts: CSV with commas, semicolons or tabs, and the tables of chat programs, with names or without.

A column of starts counts video frames unless its name or its values say another unit; a column of ends, or of
durations, may stand beside it. Negative prompts and other columns are left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .entries import Left, at_line, read_ranges, segments_of, without_repeats
from .errors import ScheduleError, shorten
from .fold import fold
from .limits import check_count
from .line import Entry
from .loose_line import STRONG, match_loose_line
from .moments import Stretch, find_stretch
from .notes import Note, note
from .schedule import PromptSchedule
from .time import Time

_KINDS = {
    name: kind
    for kind, names in {
        "start": "time start starttime timestamp timecode from begin at frame frames startframe keyframe second "
        "seconds sec range timerange when 时间 开始",
        "end": "end endtime to until stop endframe finish 结束",
        "duration": "duration length 时长",
        "prompt": "prompt prompts text description caption positive positiveprompt visual action content 提示词 画面 "
        "内容",
    }.items()
    for name in names.split()
}
_UNIT = re.compile(r"(?:^|[(\[_, ]+)(seconds?|secs?|s|frames?|min|minutes|ms)[)\]]*$", re.IGNORECASE)
_NAME = re.compile(r"[^\w]+|_")
_MOST_CELLS, _MOST_NAME = 60, 60


@dataclass(frozen=True)
class Row:
    """Cells of one row, and the number of its first line."""

    number: int
    cells: list[str]


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None for one that there is not. units: by column, from its name."""

    prompt: int
    start: int | None
    end: int | None
    duration: int | None
    units: dict[int, str]
    unread: list[str]

    def notes(self) -> list[Note]:
        """What is left out."""
        unread = ", ".join(shorten(name, 20) for name in self.unread if name)
        return [note("columns left out: {0}", unread)] if unread else []


def read_table(text: str) -> PromptSchedule | None:
    """Read a table; None for a text that is none. Raises ScheduleError with the line."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) < 2:
        return None
    if all(line.startswith("|") for _, line in lines[:2]):
        rows = [Row(number, _cells(line)) for number, line in lines if line.strip("|:+- \t")]
        return _with_names(rows, "")
    for delimiter in ("\t", ",", ";", "|"):
        if delimiter not in lines[0][1]:
            continue
        rows = _csv_rows(text, delimiter)
        found = _with_names(rows, delimiter) or _without_names(rows, delimiter) if rows else None
        if found is not None:
            return found
    return None


def _joint(delimiter: str) -> str:
    return f" {delimiter} " if delimiter == "|" else f"{delimiter} "


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("*`").strip() for cell in line.strip().strip("|").split("|")][:_MOST_CELLS]


def _csv_rows(text: str, delimiter: str) -> list[Row]:
    """Rows with the number of their first line; empty where the text is no CSV."""
    reader = csv.reader(text.split("\n"), delimiter=delimiter, skipinitialspace=True)
    rows, begin = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
                rows.append(Row(begin, [cell.strip() for cell in cells]))
            begin = reader.line_num + 1
    except csv.Error:
        return []
    return rows


# -- with names -------------------------------------------------------------------------------------------------------


def columns_of(names: Sequence[str]) -> Columns | None:
    """What columns of these names hold; None where there are no prompts or no times."""
    found: dict[str, int] = {}
    units: dict[int, str] = {}
    unread = []
    for place, name in enumerate(name[:_MOST_NAME] for name in names[:_MOST_CELLS]):
        unit = _UNIT.search(name.strip())
        if unit:
            units[place] = unit[1].lower()
        kind = _kind(name) or (_kind(name.strip()[: unit.start()]) if unit else None)
        if kind is None or kind in found:
            unread.append(name)
        else:
            found[kind] = place
    start, duration = found.get("start"), found.get("duration")
    if "prompt" not in found or (start is None and duration is None):
        return None
    return Columns(found["prompt"], start, found.get("end"), duration, units, unread)


def _kind(name: str) -> str | None:
    return _KINDS.get(_NAME.sub("", name.lower()))


def _with_names(rows: Sequence[Row], delimiter: str) -> PromptSchedule | None:
    columns = columns_of(rows[0].cells) if len(rows) > 1 else None
    if columns is None or not _starts_with_time(rows[1], columns):
        return None
    check_count("prompts", len(rows) - 1)
    entries: list[Entry] = []
    for row in rows[1:]:
        before = entries[-1].end if entries else Time(0, "s")
        entries.append(at_line(row.number, lambda row=row, before=before: entry_of(row, columns, before, delimiter)))
    bare = columns.start is not None and columns.start not in columns.units
    return schedule_of(entries, columns.notes(), bare)


def _starts_with_time(row: Row, columns: Columns) -> bool:
    """Whether the first row holds a time where the names say so: `frame, text` may begin a prompt, too."""
    place = columns.duration if columns.start is None else columns.start
    return place is not None and place < len(row.cells) and _whole_time(row.cells[place])


def entry_of(row: Row, columns: Columns, before: Time | None, delimiter: str) -> Entry:
    """The entry of a row. before: end of the row above, where durations follow one another. Raises ScheduleError."""
    cells = row.cells
    if len(cells) <= columns.prompt:
        raise ScheduleError(f"this row has {len(cells)} columns, but the prompt stands in column {columns.prompt + 1}.")
    if delimiter and columns.prompt == max(columns.prompt, columns.start or 0, columns.end or 0, columns.duration or 0):
        last = not columns.unread or columns.prompt == len(cells) - 1
        prompt = _joint(delimiter).join(cells[columns.prompt :]) if last else cells[columns.prompt]
    else:
        prompt = cells[columns.prompt]
    start, end, style = before, None, ("count", "s", "")
    if columns.start is not None:
        stretch = _cell_time(cells, columns.start, columns)
        start, end = stretch.times()
        style = (stretch.kind, stretch.start.unit or "", "")
    if columns.end is not None and columns.end < len(cells) and cells[columns.end]:
        end = _cell_time(cells, columns.end, columns).start.time()
    elif columns.duration is not None and start is not None:
        span = _cell_time(cells, columns.duration, columns, usual="s" if columns.start is None else "").start.time()
        end = Time(start.value + span.value, start.unit) if span.unit == start.unit else None
    if start is None:
        raise ScheduleError("this row has no start: write one, or durations that follow one another.")
    return Entry(row.number, start, [prompt], style, end=end, loose=True)


def _cell_time(cells: Sequence[str], place: int, columns: Columns, usual: str = "") -> Stretch:
    cell = fold(cells[place] if place < len(cells) else "").text.strip()
    stretch = find_stretch(cell, 0)
    if stretch is None or stretch.end != len(cell):
        raise ScheduleError(f"{shorten(cell)} in column {place + 1} is no time: write 10s, 0:10 or a video frame.")
    unit = columns.units.get(place, usual)
    if stretch.kind == "bare" and unit:
        return find_stretch(f"{cell} {unit}", 0) or stretch
    return stretch


# -- without names ----------------------------------------------------------------------------------------------------


def _without_names(rows: Sequence[Row], delimiter: str) -> PromptSchedule | None:
    """Rows of which every first cell is a time, and perhaps every second one an end."""
    if len(rows) < 2 or not all(_is_row(row, delimiter) for row in rows):
        return None
    ends = all(len(row.cells) > 2 and _whole_time(row.cells[1]) for row in rows)
    check_count("prompts", len(rows))
    entries, bare = [], False
    for row in rows:
        stretch = find_stretch(fold(row.cells[0]).text, 0)
        assert stretch is not None
        start, end = at_line(row.number, stretch.times)
        bare = bare or stretch.kind == "bare"
        if ends:
            second = find_stretch(fold(row.cells[1]).text, 0)
            end = second.start.time() if second else None
        # a prompt with commas of its own that stands in no quotes
        prompt = _joint(delimiter).join(row.cells[2 if ends else 1 :])
        entries.append(
            Entry(row.number, start, [prompt], (stretch.kind, stretch.start.unit or "", ""), end=end, loose=True)
        )
    return schedule_of(entries, [], bare)


def _is_row(row: Row, delimiter: str) -> bool:
    cells = row.cells
    if len(cells) < 2 or not _whole_time(cells[0]) or not any(cells[1:]):
        return False
    # in '2,5s: a' the comma is one of decimals
    line = match_loose_line(f"{cells[0]}{delimiter}{cells[1]}"[:200])
    return line is None or line.strength < STRONG or delimiter != "," or line.prompt.startswith(cells[1][:100])


def _whole_time(cell: str) -> bool:
    folded = fold(cell).text
    try:
        stretch = find_stretch(folded, 0)
    except ScheduleError:
        return False
    return stretch is not None and stretch.end == len(folded) and len(cell) < 100


def schedule_of(entries: list[Entry], told: list[Note], bare: bool) -> PromptSchedule:
    """The schedule of entries. bare: some times have no unit."""
    left = Left()
    prompts = [left.take(entry.text, entry.number) for entry in entries]
    spans = [(entry.start, entry.end) for entry in entries]
    ranges = read_ranges(spans)
    kept = without_repeats(entries, prompts, left)
    segments = segments_of([entry for entry, _ in kept], [prompt for _, prompt in kept])
    if bare and any(segment.start.unit == "frames" for segment in segments):
        told = [*told, note("numbers without a unit are video frames")]
    return PromptSchedule(tuple(segments), length=ranges.length, notes=(*told, *left.notes(), *ranges.notes))
