"""Headers of the text form, in any capitals: `global:`, `length:`, `pin:` and `pin NAME:`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .errors import ScheduleError
from .schedule import Pin, PromptSchedule
from .time import Time, parse_time

# Every repetition below is followed by something it cannot match itself, so that matching takes linear time.
_HEADER = re.compile(r"(global|length)[ \t]*:(.*)")
_LOOSE_HEADER = re.compile(
    r"(global(?:[ _]prompt)?|(?:total )?(?:length|duration)|total)[ \t]{0,9}[:\uff1a](.*)", re.IGNORECASE
)
_PIN = re.compile(r"pin(?:[ \t]+([^\s:]+))?[ \t]*:(.*)")
_LOOSE_PIN = re.compile(r"pin(?:[ \t]{1,9}([^\s:\uff1a]+))?[ \t]{0,9}[:\uff1a](.*)", re.IGNORECASE)


def match_header(line: str) -> tuple[str, str] | None:
    """(`global` or `length`, value) of a header line; None for any other line.

    In other capitals or words `Length: a long road` is a prompt, since its value is no time.
    """
    if found := _HEADER.match(line):
        return found[1], found[2].strip()
    found = _LOOSE_HEADER.match(line)
    if not found:
        return None
    name, value = "global" if found[1].lower().startswith("global") else "length", found[2].strip()
    return (name, value) if name == "global" or is_time(value) else None


def match_pin(line: str) -> tuple[str | None, str] | None:
    """(name or None, value) of a pin's line; None for any other line, such as `Pin board: notes`."""
    if found := _PIN.match(line):
        return found[1], found[2].strip()
    found = _LOOSE_PIN.match(line)
    return (found[1], found[2].strip()) if found and is_time(found[2].strip()) else None


def is_time(text: str) -> bool:
    """Whether a text is a time of the text form."""
    try:
        parse_time(text)
    except ScheduleError:
        return False
    return True


@dataclass
class Headers:
    """What the headers of a text say.

    text   of the global prompt, as it is written.
    names  of pins.
    """

    text: str = ""
    length: Time | None = None
    pins: list[Pin] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    line: int = 1

    def read(self, name: str, value: str) -> None:
        """Take a header. Raises ScheduleError for one that is given twice, and for a length that is none."""
        if name in self.given:
            raise ScheduleError(f"'{name}:' is written twice: keep one.")
        self.given.add(name)
        if name == "global":
            self.text = value
            return
        self.length = parse_time(value)
        # checks the length here, so that its error gets the number of its line
        PromptSchedule((), length=self.length)

    def read_pin(self, name: str | None, value: str, begun: bool) -> None:
        """Take a pin. begun: whether a prompt stands before it. Raises ScheduleError."""
        if begun:
            raise ScheduleError(
                "a pin stands before the first prompt, like every header: move it up, or put the prompt that goes on "
                "here in double quotes."
            )
        if name is not None:
            if name in self.names:
                raise ScheduleError(f"'pin {name[:40]}:' is written twice: every name stands for one moment.")
            self.names.add(name)
        self.pins.append(Pin(parse_time(value), name))
