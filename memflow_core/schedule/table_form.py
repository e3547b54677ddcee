"""Tables of prompts: CSV with commas, semicolons or tabs, and the tables of chat programs, with names or without.

A column of starts counts video frames unless its name or its values say another unit; a column of ends, or of
durations, may stand beside it, and columns of seeds and switches. Negative prompts and other columns are left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from ..config import SWITCHES
from .assembly import assemble
from .columns import EMPTY, Columns, Row, with_joins
from .entries import Left, at_line, refuse_times
from .errors import ScheduleError, shorten
from .fold import fold
from .foreign import switch_of, with_shots, words_note
from .guard import looks_timed
from .headers import match_header
from .leftovers import is_negative_line
from .limits import check_count
from .line import Entry
from .loose_line import STRONG, is_timed, loose_or_none
from .moments import Stretch, find_stretch, stretch_at
from .notes import Note, note
from .schedule import PromptSchedule
from .time import Time
from .words import UNIT

_NAMES = {
    "start": "time start starttime startzeit timestamp timecode timecodein tcin intime from begin at t tc in frame "
    "frames startframe keyframe second seconds sec range timerange when zeit zeitpunkt zeitstempel zeitcode beginn "
    "anfang ab von temps début debut départ tiempo inicio comienzo desde tempo inizio início время начало "
    "时间 时间段 时间码 开始 开始时间 時間 開始 開始時間 時刻 タイムコード",
    "end": "end endtime endtimecode timecodeout tcout outtime out to until stop endframe finish ende endzeit bis fin "
    "hasta fine fim конец 结束 结束时间 結束 終了 終了時間",
    "duration": "duration length dauer länge durée duree duración duracion durata duração 时长 時長 持续时间 長さ",
    "prompt": "prompt prompts positive positiveprompt 提示词 提示詞 プロンプト",
    # where no column has one of the names above
    "words": "text description caption visual action content beschreibung bild bildbeschreibung texte visuel "
    "descripción descripcion descrizione descrição 画面 画面描述 画面内容 描述 内容 説明 映像 場面 visuals "
    "shotdescription scenedescription videoprompt acción accion ação acao azione aktion описание действие",
    # where no column has one of those either
    "scene": "scene scenes shot szene scène escena cena сцена 场景 シーン",
    "seed": "seed",
    "switch": "switch",
    # how a part joins the one before it, in other programs
    "join": "transition transitiontype transitionfromprevious transitionin join jointype",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_UNIT = re.compile(rf"(?:^|[(\[_, ]+)({UNIT})[)\]]*$", re.IGNORECASE)
_NAME = re.compile(r"[^\w]+|_")
_MOST_CELLS, _MOST_NAME, _MOST_DIGITS = 60, 60, 20
_BAR = re.compile(r"(?<!\\)\|")
_EMPHASIZED = re.compile(r"(\*{1,3}|`)([^*`]*)\1")
_FRACTION = re.compile(r"[0-9]+[.,][0-9]+")
# what Audacity writes are seconds
_LABEL_TIME = re.compile(r"[0-9]+\.[0-9]{6}")
_DECIMALS = re.compile(r"[0-9]{3}(?![0-9])|0[0-9]")


def read_table(text: str) -> PromptSchedule | None:
    """Read a table; None for a text that is none. Raises ScheduleError with the line."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) < 2:
        return None
    within = _table_within(lines)
    if within is not None:
        rows = [Row(number, _cells(line)) for number, line in within[0] if line.strip("|:+- \t")]
        found = (_with_names(rows, "") or _without_names(rows, "|")) if rows else None
        return found and found.with_notes(within[1].notes())
    if all(line.startswith("|") for _, line in lines[:2]):
        rows = [Row(number, _cells(line)) for number, line in lines if line.strip("|:+- \t")]
        return (_with_names(rows, "") or _without_names(rows, "|")) if rows else None
    for delimiter in ("\t", ",", ";", "|"):
        if delimiter not in lines[0][1]:
            continue
        rows = _csv_rows(text, delimiter)
        found = _with_names(rows, delimiter) or _without_names(rows, delimiter) if rows else None
        if found is not None:
            return found
    return None


def _table_within(lines: Sequence[tuple[int, str]]) -> tuple[list[tuple[int, str]], Left] | None:
    """The rows of the only table in a text with other lines around it, and these lines; None where these hold times."""
    rule = next((at for at, (_, line) in enumerate(lines) if at and _is_rule(line) and lines[at - 1][1][0] == "|"), 0)
    if not rule:
        return None
    end = next((at for at in range(rule, len(lines)) if not lines[at][1].startswith("|")), len(lines))
    around = [*lines[: rule - 1], *lines[end:]]
    if not around or any("|" in line or looks_timed(line) or match_header(line) for _, line in around):
        return None
    left, negative = Left(), False
    for number, line in around:
        negative = is_negative_line(fold(line).text) or (negative and not line.startswith(("#", "*")))
        (left.negatives if negative else left.lines).append(number)
    return list(lines[rule - 1 : end]), left


def _is_rule(line: str) -> bool:
    return line.startswith("|") and "-" in line and not line.strip("|:+- \t")


def _joint(delimiter: str) -> str:
    return f" {delimiter} " if delimiter == "|" else f"{delimiter} "


def _cells(line: str) -> list[str]:
    """Cells of a row between bars; a bar behind a backslash is one of the words."""
    parts = _BAR.split(line.strip())
    inner = parts[bool(not parts[0]) : len(parts) - (len(parts) > 1 and not parts[-1])]
    return [_without_emphasis(part.strip().replace("\\|", "|")) for part in inner][:_MOST_CELLS]


def _without_emphasis(cell: str) -> str:
    """A cell without the marks that stand around all of it."""
    found = _EMPHASIZED.fullmatch(cell)
    return found[2].strip() if found else cell


# '#' alone is the name of a column, and '#1' a number
_COMMENT = re.compile(r"[ \t]{0,99}#(?:[^\W\d]|[ \t#].)")


def _csv_rows(text: str, delimiter: str) -> list[Row]:
    """Rows with the number of their first line; empty where the text is no CSV."""
    # lines keep their ends: a cell in quotes may hold some
    reader = csv.reader([f"{line}\n" for line in text.split("\n")], delimiter=delimiter, skipinitialspace=True)
    rows, begin = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not _COMMENT.match(cells[0]):
                rows.append(Row(begin, [" ".join(cell.split()) if "\n" in cell else cell.strip() for cell in cells]))
            begin = reader.line_num + 1
    except csv.Error:
        return []
    return rows


# -- with names -------------------------------------------------------------------------------------------------------


def columns_of(names: Sequence[str]) -> Columns | None:
    """What columns of these names hold; None where there are no prompts or no times."""
    found: dict[str, int] = {}
    units: dict[int, str] = {}
    known = [name[:_MOST_NAME] for name in names[:_MOST_CELLS]]
    for place, name in enumerate(known):
        unit = _UNIT.search(name.strip())
        if unit:
            units[place] = unit[1].lower()
        kind = _kind(name) or (_kind(name.strip()[: unit.start()]) if unit else None)
        if kind is not None:
            found.setdefault(kind, place)
    scene, words = found.pop("scene", None), found.pop("words", None)
    prompt = found.get("prompt", scene if words is None else words)
    start, duration = found.get("start"), found.get("duration")
    if prompt is None or (start is None and duration is None):
        return None
    options = {kind: found[kind] for kind in ("seed", "switch", "join") if kind in found}
    unread = [name for place, name in enumerate(known) if place not in (prompt, *found.values())]
    return Columns(prompt, start, found.get("end"), duration, units, unread, len(known), options)


def _kind(name: str) -> str | None:
    return _KINDS.get(_NAME.sub("", name.lower()))


def _with_names(rows: Sequence[Row], delimiter: str) -> PromptSchedule | None:
    columns = columns_of(rows[0].cells) if len(rows) > 1 else None
    if columns is None or not _starts_with_time(rows[1], columns):
        _refuse_unknown_names(rows)
        return None
    _refuse_twice(rows[0], columns)
    columns, joins = with_joins(columns, rows)
    check_count("prompts", len(rows) - 1)
    entries: list[Entry] = []
    for row in rows[1:]:
        before = entries[-1].end if entries else Time(0, "s")
        entries.append(at_line(row.number, lambda row=row, before=before: entry_of(row, columns, before, delimiter)))
    bare = columns.start is not None and columns.start not in columns.units
    return schedule_of(entries, [*columns.notes(), *joins], bare)


def _refuse_twice(row: Row, columns: Columns) -> None:
    """Raise ScheduleError for two columns of times or prompts under one name: the second would be left out."""
    for place in (columns.prompt, columns.start):
        if place is not None and [name.lower() for name in row.cells].count(row.cells[place].lower()) > 1:
            raise ScheduleError(
                f"line {row.number}: the column {shorten(row.cells[place])} stands twice: write one prompt a row, or "
                f"give the columns that are not to be read other names."
            )


def _refuse_unknown_names(rows: Sequence[Row]) -> None:
    """Raise ScheduleError for a table with a column of times under names of which none is known."""
    width = len(rows[0].cells)
    if len(rows) < 3 or width < 2 or any(_whole_time(cell) for cell in rows[0].cells):
        return
    if any(len(row.cells) != width for row in rows):
        return
    if any(all(_whole_time(row.cells[place]) for row in rows[1:]) for place in range(width)):
        raise ScheduleError(
            f"line {rows[0].number}: {shorten(', '.join(rows[0].cells))} names no columns of times and prompts that "
            f"are known: call them 'start' and 'prompt'."
        )


def _starts_with_time(row: Row, columns: Columns) -> bool:
    """Whether the first row holds a time where the names say so: `frame, text` may begin a prompt, too."""
    place = columns.duration if columns.start is None else columns.start
    return place is not None and place < len(row.cells) and _whole_time(row.cells[place])


def entry_of(row: Row, columns: Columns, before: Time | None, delimiter: str) -> Entry:
    """The entry of a row. before: end of the row above, where durations follow one another. Raises ScheduleError."""
    cells = row.cells
    prompt = _prompt_of(cells, columns, delimiter)
    start, end, style = before, None, ("count", "s", "")
    if columns.start is not None:
        stretch = _cell_time(cells, columns.start, columns)
        start, end = stretch.times()
        style = (stretch.kind, stretch.start.unit or "", "")
    # a number alone counts what the start beside it does
    usual = "s" if columns.start is None else style[1]
    if columns.end is not None and columns.end < len(cells) and cells[columns.end]:
        end = _cell_time(cells, columns.end, columns, usual).start.time()
    elif columns.duration is not None and start is not None:
        span = _cell_time(cells, columns.duration, columns, usual)
        if span.is_range:
            start, end = span.times() if columns.start is None else (start, end)
        else:
            long = span.start.time()
            if long.unit != start.unit:
                raise ScheduleError(f"this row starts at {start} and lasts {long}: write both in one unit.")
            end = Time(start.value + long.value, start.unit)
    if start is None:
        raise ScheduleError("this row has no start: write one, or durations that follow one another.")
    entry = Entry(row.number, start, [prompt], style, end=end, loose=True)
    for kind, place in columns.options.items():
        _take_option(entry, kind, cells[place] if place < len(cells) else "")
    return entry


def _prompt_of(cells: Sequence[str], columns: Columns, delimiter: str) -> str:
    """The prompt of a row, with the delimiters that stand in it in no quotes where its column is the last."""
    if len(cells) <= columns.prompt:
        raise ScheduleError(f"this row has {len(cells)} columns, but the prompt stands in column {columns.prompt + 1}.")
    cells = _without_empty_end(cells)
    prompt = cells[columns.prompt] if columns.prompt < len(cells) else ""
    if len(cells) > columns.width:
        if not delimiter or columns.prompt != columns.width - 1:
            how = "in double quotes" if delimiter else r"with \| for each | in it"
            raise ScheduleError(
                f"this row has {len(cells)} columns, but only {columns.width} have names: write its prompt {how}."
            )
        prompt = _joint(delimiter).join(cells[columns.prompt :])
    return _not_empty(prompt)


def _without_empty_end(cells: Sequence[str]) -> Sequence[str]:
    count = len(cells)
    while count and not cells[count - 1]:
        count -= 1
    return cells[:count]


def _not_empty(prompt: str) -> str:
    if not prompt:
        raise ScheduleError("this row has no prompt: write one, or take the row out.")
    return prompt


def _take_option(entry: Entry, kind: str, cell: str) -> None:
    if cell in EMPTY:
        return
    if kind == "seed":
        if not (cell.isascii() and cell.isdigit() and len(cell) <= _MOST_DIGITS):
            raise ScheduleError(f"{shorten(cell)} in the column of seeds is no whole number.")
        entry.seed = int(cell)
    elif switch := switch_of(cell):
        entry.switch = switch
        entry.foreign += [cell] if switch != cell else []
    else:
        raise ScheduleError(f"{shorten(cell)} in the column of switches is none: write {', '.join(SWITCHES)}.")


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
    if len(rows) < 2:
        return None
    if delimiter == "\t" and all(len(r.cells) > 2 and all(map(_LABEL_TIME.fullmatch, r.cells[:2])) for r in rows):
        rows = [Row(row.number, [f"{row.cells[0]}s", f"{row.cells[1]}s", *row.cells[2:]]) for row in rows]
    if not all(_is_row(row, delimiter) for row in rows) or not any(any(row.cells[1:]) for row in rows):
        return None
    ends = all(len(row.cells) > 2 and _whole_time(row.cells[1]) for row in rows)
    check_count("prompts", len(rows))
    entries, bare = [], False
    for row in rows:
        entry = at_line(row.number, lambda row=row: _entry_without_names(row, delimiter, ends))
        if is_timed(entry.text[:200]):
            raise refuse_times(row.number, delimiter.join(row.cells))
        bare = bare or entry.style[0] == "bare"
        entries.append(entry)
    return schedule_of(entries, [], bare)


def _entry_without_names(row: Row, delimiter: str, ends: bool) -> Entry:
    if _FRACTION.fullmatch(row.cells[0]):
        seconds = row.cells[0].replace(",", ".")
        raise ScheduleError(f"{row.cells[0]} has no unit, and video frames are whole: write seconds as {seconds}s.")
    stretch = find_stretch(fold(row.cells[0]).text, 0)
    assert stretch is not None
    start, end = stretch.times()
    if ends:
        second = find_stretch(fold(row.cells[1]).text, 0)
        end = second.start.time() if second else None
    # a prompt with commas of its own that stands in no quotes
    prompt = _not_empty(_joint(delimiter).join(_without_empty_end(row.cells[2 if ends else 1 :])))
    return Entry(row.number, start, [prompt], (stretch.kind, stretch.start.unit or "", ""), end=end, loose=True)


def _is_row(row: Row, delimiter: str) -> bool:
    cells = row.cells
    if len(cells) < 2 or not (_whole_time(cells[0]) or _FRACTION.fullmatch(cells[0])):
        return False
    # in '2,5s: a' and '00:00:03,500 a' the comma is one of decimals
    line = loose_or_none(f"{cells[0]}{delimiter}{cells[1]}"[:200])
    if line is None or delimiter != "," or line.prompt.startswith(cells[1][:100]):
        return True
    return line.strength < STRONG and line.style[0] != "count" and not (":" in cells[0] and _DECIMALS.match(cells[1]))


def _whole_time(cell: str) -> bool:
    folded = fold(cell).text
    stretch = stretch_at(folded, 0)
    return stretch is not None and stretch.end == len(folded) and len(cell) < 100


def schedule_of(entries: list[Entry], told: list[Note], bare: bool) -> PromptSchedule:
    """The schedule of entries. bare: some times have no unit."""
    left = Left()
    prompts = [left.take(entry.text, entry.number) for entry in entries]
    if bare and any(entry.start.unit == "frames" for entry in entries):
        told = [*told, note("numbers without a unit are video frames")]
    told = [*told, *words_note([word for entry in entries for word in entry.foreign])]
    return with_shots(assemble(entries, prompts, left, told))
