"""Lists of objects with the keys of other programs: `[{"start": "0s", "end": "3s", "text": "..."}, ...]`.

Keys are known by the names that columns of a table have, see `table_form`. A number without a unit in its key is
refused: it may count seconds or video frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from .columns import Columns, Row, with_joins
from .errors import ScheduleError, shorten, show
from .limits import check_count
from .line import Entry
from .notes import note
from .schedule import PromptSchedule
from .table_form import columns_of, entry_of, schedule_of
from .time import MAX_TIME, Time

Made = TypeVar("Made")


def is_records(value: object) -> bool:
    """Whether a value is a list of objects, of which the first has a prompt and a time under such keys."""
    if not isinstance(value, (list, tuple)) or not value or not isinstance(value[0], Mapping):
        return False
    return columns_of([str(key) for key in value[0]]) is not None


def from_records(records: Sequence[Any]) -> PromptSchedule:
    """Read such a list. Raises ScheduleError, naming the entry."""
    check_count("prompts", len(records))
    names = list(dict.fromkeys(str(key) for record in records if isinstance(record, Mapping) for key in record))
    columns = columns_of(names)
    if columns is None:
        raise ScheduleError('an entry has no time or no prompt: write each as {"time": "10s", "prompt": "..."}.')
    cells = partial(_cells, names=names, columns=columns)
    rows = [Row(0, _at(number, partial(cells, record))) for number, record in enumerate(records, 1)]
    columns, joins = with_joins(columns, [Row(0, names), *rows])
    entries: list[Entry] = []
    for number, row in enumerate(rows, 1):
        before = entries[-1].end if entries else Time(0, "s")
        entry = _at(number, lambda row=row, before=before: entry_of(row, columns, before, ""))
        entries.append(replace(entry, number=number))
    return schedule_of(entries, [*columns.notes(), *joins], bare=False)


def _at(number: int, read: Callable[[], Made]) -> Made:
    try:
        return read()
    except ScheduleError as error:
        raise ScheduleError(f"entry {number}: {error}") from None


def from_wrapped_records(source: Mapping[str, Any]) -> PromptSchedule | None:
    """Read an object of which one value alone is such a list, as `{"title": ..., "shots": [...]}`; None for others.

    Of its other keys, `global_prompt` is read, and the rest left out. Raises ScheduleError, naming the entry.
    """
    lists = [key for key, value in source.items() if is_records(value)]
    if len(lists) != 1:
        return None
    schedule = from_records(source[lists[0]])
    others = [key for key in source if key not in (lists[0], "global_prompt")]
    if isinstance(source.get("global_prompt"), str):
        schedule = replace(schedule, global_prompt=source["global_prompt"])
    left = ", ".join(shorten(str(key), 20) for key in others)
    return schedule.with_notes([note("keys left out: {0}", left)] if left else [])


def _cells(record: object, names: Sequence[str], columns: Columns) -> list[str]:
    if not isinstance(record, Mapping):
        raise ScheduleError(f"{show(record)} is not an object.")
    times = {columns.start: True, columns.end: True, columns.duration: columns.start is not None}
    # other programs count frames there
    if columns.duration is not None and names[columns.duration].lower() == "length":
        times[columns.duration] = True
    cells = []
    for place, name in enumerate(names):
        if place in (columns.prompt, columns.start) and name not in record:
            raise ScheduleError(f"{name!r} is missing.")
        value = record.get(name, "")
        if value is None and place in (columns.end, columns.duration):
            value = ""
        if isinstance(value, int) and abs(value) > MAX_TIME:
            raise ScheduleError(f"{name!r} is {show(value)}, but must be at most {MAX_TIME}.")
        if place in times or place == columns.prompt:
            if place in times and isinstance(value, (int, float)) and times[place] and place not in columns.units:
                raise ScheduleError(
                    f'{name!r} is {show(value)}, which may count seconds or video frames: write "{value}s" or '
                    f'"frame {value}".'
                )
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                written = "null" if value is None else show(value)
                raise ScheduleError(f"{name!r} is {written}, but must be a text, or a number with its unit in a text.")
        cells.append(value if isinstance(value, str) else str(value))
    return cells
