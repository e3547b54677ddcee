"""Lines of a schedule's text, and which of them hold a time: `choose` decides it by all lines together.

A line whose time is surely one holds it; others do where the whole text is written so. A time that is left beside
others is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from .entries import at_line, refuse_times
from .errors import ScheduleError
from .guard import looks_timed
from .headers import match_header, match_pin
from .inline import split_line
from .labelled import match_labelled
from .line import Entry, make_entry, match_entry
from .loose_line import FAINT, LABELLED, STRONG, WEAK, LooseLine, match_loose_line
from .moments import is_timecode
from .prose import is_heading
from .slips import is_odd_time


@dataclass
class Line:
    """One line that is neither empty nor a comment; number counts from 1.

    entry    what it is in the text form, if it has a time there.
    loose    what it is in other shapes.
    fault    why its time in another shape is none, such as `7-3s`, which counts where there are other times.
    first    whether an empty line, or nothing, stands before it.
    """

    number: int
    text: str
    entry: Entry | None
    loose: LooseLine | None
    first: bool
    fault: ScheduleError | None = None


def lines_of(text: str) -> Iterator[Line]:
    first = True
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, written in enumerate(lines, 1):
        line = written.strip()
        if not line:
            first = True
            continue
        read = at_line(number, lambda line=line, number=number, first=first: _read_line(line, number, first))
        if line[0] != "#" or line.startswith("##") or line[1:2].isalnum():
            yield read
            first = line[0] == "#" and read.loose is None


def _read_line(line: str, number: int, first: bool) -> Line:
    """Read one line in the text form, else in other shapes. Raises ScheduleError."""
    entry, fault = None, None
    if not is_timecode(line):
        try:
            entry = match_entry(line, number)
        except ScheduleError as error:
            fault = error
    loose, loose_fault = None, None
    if entry is None and (line[0] != "#" or line.startswith("##")):
        try:
            loose = match_loose_line(line)
            if loose is None or loose.strength == FAINT:
                loose = match_labelled(line) or loose
        except ScheduleError as error:
            loose_fault = error
    # the text form knows fewer units
    known = loose is not None and loose.strength != LABELLED and not loose.options and loose.style[0] == "count"
    if fault is not None and not known:
        raise fault
    return Line(number, line, entry, loose, first, loose_fault)


def choose(lines: list[Line]) -> list[Line]:
    """Decide which loose times are times, and return the lines that hold one. All others lose theirs.

    Raises ScheduleError for a time that is left beside others.
    """
    timed = [line for line in lines if line.entry or (line.loose and line.loose.strength == STRONG)]
    timed = _with_labelled(timed, [line for line in lines if line.loose and line.loose.strength == LABELLED])
    chosen = {line.number for line in timed}
    soft = [line for line in lines if line.loose and line.loose.strength < STRONG and line.number not in chosen]
    if not timed and soft:
        timed, soft = _counting_up(soft) if len(soft) > 1 else _parted(soft)
    weak = [
        line for line in soft if line.loose and line.loose.strength == WEAK and (timed or not _is_of_day(line.loose))
    ]
    _check_faults(lines, len(timed) + len(weak))
    if weak and len(timed) + len(weak) > 1:
        wrong = next((line for line in lines if is_odd_time(line.text)), weak[0])
        raise refuse_times(wrong.number, wrong.text)
    for line in soft:
        line.loose = None
    if len(timed) == 1 and (loose := timed[0].loose) and loose.start.value and not _goes_on(timed[0], lines):
        # one number in front of a prompt may mean anything
        timed[0].loose = None
        return []
    return timed


def _goes_on(line: Line, lines: list[Line]) -> bool:
    """Whether the only time of a text is a second prompt's: it has a unit, and a line of prompt stands before it."""
    loose = line.loose
    sure = loose is not None and loose.strength == STRONG and loose.style[0] == "count" and not loose.labelled
    led = any(not match_header(before.text) for before in lines if before.number < line.number)
    return sure and led and bool(line.loose and line.loose.prompt)


def _is_of_day(loose: LooseLine) -> bool:
    """Whether a clock time may be an hour of the day: `10:30 Berlin`."""
    return loose.style[0] == "clock" and loose.start.value >= _MORNING_S and loose.end is None


# 6:00, as minutes and seconds
_MORNING_S = 360


def _with_labelled(timed: list[Line], labelled: list[Line]) -> list[Line]:
    """Lines with a time, and those whose time stands behind words if all together count up from 0 in one unit."""
    together = sorted([*timed, *labelled], key=lambda line: line.number)
    found = [one for line in together if (one := line.entry or line.loose)]
    rising = all(later.start.value > before.start.value for before, later in itertools.pairwise(found))
    alike = len({one.style[:2] for one in found}) == 1
    if labelled and len(found) > 1 and not found[0].start.value and rising and alike:
        return together
    for line in labelled:
        line.loose = None
    return timed


def _check_faults(lines: list[Line], others: int) -> None:
    """Raise ScheduleError for a time that is none, where `others` or more of its kind stand beside it."""
    fault = next((line for line in lines if line.fault), None)
    if fault is None:
        return
    broken = sum(line.fault is not None or (not line.loose and looks_timed(line.text)) for line in lines)
    if broken + others > 1:
        raise ScheduleError(f"line {fault.number}: {fault.fault}")


def _counting_up(lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """Lines that are written alike and count up from 0, two at least, and all others."""
    alike = [line for line in lines if line.loose and lines[0].loose and line.loose.style == lines[0].loose.style]
    values = [line.loose.start.value for line in alike if line.loose and line.loose.readable]
    rising = all(later > before for before, later in itertools.pairwise(values))
    if len(alike) < 2 or len(values) < len(alike) or values[0] != 0 or not rising:
        return [], lines
    chosen = {line.number for line in alike}
    return alike, [line for line in lines if line.number not in chosen]


def _parted(lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """The only line, if it starts at 0 and holds later times as well: `0s a robot, 4s a beach`."""
    (line,) = lines
    loose = line.loose
    whole = loose and loose.readable and loose.strength == WEAK and not loose.start.value
    if loose and whole and split_line(loose.prompt, loose.start, loose.style, weak=True):
        return lines, []
    return [], lines


def entry_of(line: Line) -> Entry | None:
    """The entry of a line that has a time, in whatever shape. Raises ScheduleError."""
    if (loose := line.loose) is None:
        return line.entry
    entry = make_entry(loose.start, loose.options, loose.prompt, line.number, loose.style)
    entry.end, entry.loose, entry.weak = loose.end, True, loose.strength in (FAINT, WEAK)
    return entry


def headings_of(lines: list[Line], timed: set[int]) -> set[int]:
    """Numbers of the lines that name the part which begins in the next one: `Scene 2:`, `**The snow**`, `CUT TO:`."""
    return {
        line.number
        for line, after in itertools.pairwise(lines)
        if after.number in timed
        and line.number not in timed
        and is_heading(line.text)
        and not (match_header(line.text) or match_pin(line.text))
    }
