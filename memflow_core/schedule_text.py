r"""Schedules as text, both ways.

    # a comment
    global: a red robot with one wheel, watercolour
    length: 60s
    0s: it walks across a meadow
    10s [cut] [seed 7]: a beach,
        empty but for gulls
    0:20 [soft]: the robot returns

Each change of prompt is a line `time options: prompt`, which holds until the next.

time      `10s`, `2min`; `0:10`, `1:02.5` or `1:00:00` (minutes and seconds, hours before them); `160` or `160f`: a
          video frame; `12c`: a chunk; `39l`: a latent frame; `50%` of the story.
options   `[recache]`, `[soft]`, `[cut]`: how the prompt takes over. `[seed 7]`: the segment's seed.
prompt    the rest of the line. A line without a time goes on with the prompt before it, joined by a space; text before
          the first time starts at 0. A prompt in double quotes is a JSON string: `"\n"` is a new line in it, `"\""`
          a quote. Quotes are needed where a prompt is empty, starts with a quote or a bracket, or holds line breaks or
          spaces at its ends; in any other prompt all characters stand for themselves.
headers   `global:` a prompt put before every other, and `length:` a time. They stand before the first prompt.

Text without any time is one prompt at 0, or, as `a | b | c`, prompts spread evenly over the story.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from .config import SWITCHES
from .schedule import PromptSchedule, ScheduleError, Segment, Time

TIME_EXAMPLES = "10s, 0:10, 160 (a video frame), 12c (a chunk), 39l (a latent frame) or 50%"

# Every repetition below is followed by something it cannot match itself, so that matching takes linear time.
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_CLOCK = re.compile(r"([0-9]+):(?:([0-9]{1,2}):)?([0-9]{1,2}(?:\.[0-9]*)?)")
_COUNT = re.compile(rf"({_NUMBER})([ \t]*)([A-Za-z%]*)")
_OPTION = re.compile(r"[ \t]*\[([^\[\]]*)\]")
_OPTION_LIKE = re.compile(rf"[ \t]*\[[ \t]*(?:{'|'.join(SWITCHES)}|seed[ \t:=]*[0-9]*)[ \t]*(?:\]|:|$)")
_SEED = re.compile(r"seed[ \t:=]+([0-9]{1,20})")
_HEADER = re.compile(r"(global|length)[ \t]*:(.*)")

_SUFFIXES = {"s": "s", "frames": "", "chunks": "c", "latent": "l", "percent": "%"}
_UNITS = {
    word: unit
    for unit, words in {
        ("s", 1): "s sec secs second seconds",
        ("s", 60): "min mins minute minutes",
        ("frames", 1): "f frame frames",
        ("chunks", 1): "c chunk chunks",
        ("latent", 1): "l latent latents",
        ("percent", 1): "% percent",
    }.items()
    for word in words.split()
}


# -- times ------------------------------------------------------------------------------------------------------------


def parse_time(text: str) -> Time:
    """A time as the text form writes it. Raises ScheduleError."""
    found = _clock(text.strip()) or _count(text.strip())
    if found is None or found.end != len(text.strip()):
        raise ScheduleError(f"{text[:40]!r} is no time: write {TIME_EXAMPLES}.")
    return found.time()


def format_time(time: Time) -> str:
    """The shortest text that `parse_time` reads as the same time."""
    return f"{time.value!r}{_SUFFIXES[time.unit]}"


@dataclass(frozen=True)
class _Found:
    """A time found in a line, not checked yet: it may prove to be part of a prompt."""

    value: float
    word: str
    end: int
    source: str

    def time(self) -> Time:
        unit, factor = ("frames", 1) if not self.word else _UNITS.get(self.word.lower(), (None, 1))
        if unit is None:
            raise ScheduleError(
                f"{self.source[:40]!r} looks like a time, but its unit {self.word[:20]!r} is unknown: "
                f"write {TIME_EXAMPLES}, or put the prompt in double quotes after its time."
            )
        return Time(self.value * factor, unit)


def _clock(line: str) -> _Found | None:
    found = _CLOCK.match(line)
    if not found:
        return None
    # hours, minutes, seconds; or minutes, seconds
    first, middle, seconds = float(found[1]), found[2], float(found[3])
    if seconds >= 60 or float(middle or 0) >= 60:
        raise ScheduleError(f"{found[0][:40]!r} is no time: seconds and minutes after a colon must be below 60.")
    minutes = first * 60 + float(middle) if middle else first
    return _Found(minutes * 60 + seconds, "s", found.end(), found[0])


def _count(line: str) -> _Found | None:
    found = _COUNT.match(line)
    if not found:
        return None
    # '3 robots: ...' is a prompt, '3x: ...' a slip
    if found[2] and found[3] and found[3].lower() not in _UNITS:
        return None
    return _Found(float(found[1]), found[3], found.end(), found[0])


# -- one line ---------------------------------------------------------------------------------------------------------


@dataclass
class _Entry:
    """A line with a time, and the lines that go on with its prompt."""

    number: int
    start: Time
    switch: str = "recache"
    seed: int | None = None
    lines: list[str] = field(default_factory=list)

    def segment(self) -> Segment:
        return Segment(self.start, _unquote(" ".join(line for line in self.lines if line)), self.switch, self.seed)


def _entry(line: str, number: int) -> _Entry | None:
    """The entry that a stripped line starts, or None if it has no time."""
    if not (line[0].isdigit() or line[0] in "+-."):
        return None
    for find in (_clock_before_colon, _count):
        found = find(line)
        if found is None:
            continue
        end, options = _options(line, found.end)
        if end < len(line) and line[end] == ":":
            text = line[end + 1 :]
            # '16:9 wide shot' is a prompt
            if not found.word and not options and text[:1].isdigit():
                return None
            return _checked_entry(found, options, text.strip(), number)
        if _OPTION_LIKE.match(line, found.end):
            raise ScheduleError(f"{line[:40]!r} has an option, but no colon after it: write it as '10s [cut]: prompt'.")
    return None


def _clock_before_colon(line: str) -> _Found | None:
    """A clock time, unless it is the start of a prompt like '16:90 ...'."""
    found = _CLOCK.match(line)
    if not found or line[_options(line, found.end())[0] :][:1] != ":":
        return None
    return _clock(line)


def _options(line: str, end: int) -> tuple[int, list[str]]:
    """Where the bracketed options after `end`, and the spaces after them, end; and the options."""
    options = []
    while found := _OPTION.match(line, end):
        options.append(found[1].strip())
        end = found.end()
    while end < len(line) and line[end] in " \t":
        end += 1
    return end, options


def _checked_entry(found: _Found, options: list[str], text: str, number: int) -> _Entry:
    if _OPTION_LIKE.match(text):
        raise ScheduleError(
            f"{text[:30]!r} starts with an option after the colon: write it before the colon "
            f"('10s [cut]: prompt'), or put the prompt in double quotes."
        )
    entry, given = _Entry(number, found.time(), lines=[text]), set()
    for option in options:
        seed = _SEED.fullmatch(option)
        kind = "seed" if seed else "switch"
        if not seed and option not in SWITCHES:
            raise ScheduleError(
                f"option [{option[:30]}] is unknown: use {', '.join(f'[{name}]' for name in SWITCHES)} or [seed 7]."
            )
        if kind in given:
            raise ScheduleError(f"option [{option}] is the second {kind} of this line: keep one.")
        given.add(kind)
        setattr(entry, kind, int(seed[1]) if seed else option)
    return entry


def _unquote(text: str) -> str:
    """The string, if the text is one JSON string (a comma behind it is forgiven); else the text as it is."""
    quoted = text[:-1].rstrip() if text.endswith(",") else text
    if len(quoted) < 2 or quoted[0] != '"' or quoted[-1] != '"':
        return text
    try:
        return json.loads(quoted)
    except ValueError:
        return text


def _quote(prompt: str) -> str:
    plain = prompt and prompt == prompt.strip() and prompt[0] not in '"[' and "\n" not in prompt and "\r" not in prompt
    return prompt if plain else json.dumps(prompt, ensure_ascii=False)


# -- whole texts ------------------------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """What the lines read so far have said."""

    headers: dict[str, str] = field(default_factory=dict)
    length: Time | None = None
    lead: list[str] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)

    def read(self, line: str, number: int) -> None:
        entry = _entry(line, number)
        if entry:
            self.entries.append(entry)
        elif _OPTION_LIKE.match(line):
            raise ScheduleError(
                f"{line[:40]!r} starts with an option, but has no time: write it as '10s [cut]: prompt'."
            )
        elif self.entries:
            self.entries[-1].lines.append(line)
        elif not self.lead and (header := _HEADER.match(line)):
            self._read_header(header[1], header[2].strip())
        else:
            self.lead.append(line)

    def _read_header(self, name: str, value: str) -> None:
        if name in self.headers:
            raise ScheduleError(f"'{name}:' is written twice: keep one.")
        self.headers[name] = value
        if name == "length":
            self.length = parse_time(value)
            PromptSchedule((), "", self.length)

    def schedule(self) -> PromptSchedule:
        segments = []
        if self.lead:
            lead = " ".join(self.lead)
            segments += [Segment(Time(0, "s"), _unquote(lead))] if self.entries else _untimed(lead)
        for entry in self.entries:
            try:
                segments.append(entry.segment())
            except ScheduleError as error:
                raise ScheduleError(f"line {entry.number}: {error}") from None
        return PromptSchedule(tuple(segments), _unquote(self.headers.get("global", "")), self.length)


def _untimed(text: str) -> list[Segment]:
    """One prompt, or several that share the story evenly."""
    unquoted = _unquote(text)
    parts = [unquoted] if unquoted != text else [part.strip() for part in text.split("|")]
    if len(parts) == 1:
        return [Segment(Time(0, "s"), parts[0])]
    for number, part in enumerate(parts, 1):
        if not part:
            raise ScheduleError(
                f"prompt {number} of {len(parts)} in 'a | b' form is empty: write it, or leave out a '|'."
            )
    return [Segment(Time(100 * place / len(parts), "percent"), part) for place, part in enumerate(parts)]


def from_text(text: str) -> PromptSchedule:
    """Read the text form. Raises ScheduleError with the number of the line and what to write instead."""
    reader = _Reader()
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line[0] == "#":
            continue
        try:
            reader.read(line, number)
        except ScheduleError as error:
            raise ScheduleError(f"line {number}: {error}") from None
    return reader.schedule()


def to_text(schedule: PromptSchedule) -> str:
    """Write a schedule so that `from_text` reads an equal one."""
    lines = []
    if schedule.global_prompt:
        lines.append(f"global: {_quote(schedule.global_prompt)}")
    if schedule.length is not None:
        lines.append(f"length: {format_time(schedule.length)}")
    for segment in schedule.segments:
        switch = "" if segment.switch == "recache" else f" [{segment.switch}]"
        seed = "" if segment.seed is None else f" [seed {segment.seed}]"
        lines.append(f"{format_time(segment.start)}{switch}{seed}: {_quote(segment.prompt)}")
    return "\n".join(lines)
