r"""The text form of schedules: `from_text` reads it, `to_text` writes it.

    # a comment
    global: a red robot with one wheel, watercolour
    length: 60s
    pin hero: 3.5s
    0s: it walks across a meadow
    10s [cut] [seed 7]: a beach,
        empty but for gulls
    0:20 [blend 6 spherical] [hero]: the robot returns

Each change of prompt is a line `time options: prompt`, which holds until the next.

time      `10s`, `2min`; `0:10`, `1:02.5` or `1:00:00` (minutes and seconds, hours before them); `160` or `160f`: a
          video frame; `12c`: a chunk; `39l`: a latent frame; `50%` of the story.
options   `[recache]`, `[soft]`, `[cut]`, `[blend]`: how the prompt takes over. A blend may name its length and its
          path: `[blend 6]` chunks (4 where none is named), `[blend 3s]`, `[blend 6 spherical]` (else linear).
          `[seed 7]`: the segment's seed. `[hero]`: the pin of that name stands in memory in this segment; there may be
          several.
prompt    the rest of the line. A line without a time goes on with the prompt before it, joined by a space; text before
          the first time starts at 0. A prompt in double quotes is a JSON string: `"\n"` is a new line in it, `"\""`
          a quote. Quotes are needed where a prompt is empty, starts with a quote or a bracket, or holds line breaks or
          spaces at its ends; in any other prompt all characters stand for themselves.
headers   `global:` a prompt put before every other; `length:` a time; `pin:` the time of a moment that memory keeps for
          good, and `pin hero:` of one that it keeps for the segments with `[hero]`, both as often as needed. Headers
          stand before the first prompt. A name is one word of letters, digits, `_` and `-` that starts with a letter.

Text without any time is one prompt at 0, or, as `a | b | c`, prompts spread evenly over the story.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from ..config import BLEND_PATHS, SWITCHES
from .errors import ScheduleError
from .schedule import Blend, Pin, PromptSchedule, Segment, is_pin_name
from .time import Time, clock_end, format_time, match_count, parse_time

# Every repetition below is followed by something it cannot match itself, so that matching takes linear time.
_OPTION = re.compile(r"[ \t]*\[([^\[\]]*)\]")
_BLEND_LIKE = rf"blend(?:[ \t]+(?:[-+]?[0-9.][\w.]*|{'|'.join(BLEND_PATHS)})){{0,2}}"
_OPTION_LIKE = re.compile(rf"[ \t]*\[[ \t]*(?:{'|'.join(SWITCHES)}|{_BLEND_LIKE}|seed[ \t:=]*[0-9]*)[ \t]*(?:\]|:|$)")
_SEED = re.compile(r"seed[ \t:=]+([0-9]{1,20})")
_HEADER = re.compile(r"(global|length)[ \t]*:(.*)")
_PIN = re.compile(r"pin(?:[ \t]+([^\s:]+))?[ \t]*:(.*)")


# -- whole texts ------------------------------------------------------------------------------------------------------


def from_text(text: str) -> PromptSchedule:
    """Read the text form. Raises ScheduleError with the number of the line and the fix."""
    reader = _Reader()
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, written in enumerate(lines, 1):
        line = written.strip()
        if not line or line[0] == "#":
            continue
        try:
            reader.read(line, number)
        except ScheduleError as error:
            raise ScheduleError(f"line {number}: {error}") from None
    return reader.schedule()


@dataclass
class _Reader:
    """Collects the parts of a schedule line by line.

    lead  lines of prompt before the first time.
    """

    headers: dict[str, str] = field(default_factory=dict)
    length: Time | None = None
    pins: list[Pin] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    lead: list[str] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)

    def read(self, line: str, number: int) -> None:
        """Read one line, stripped and not empty. Raises ScheduleError."""
        entry = _match_entry(line, number)
        if entry:
            self._check_names(entry)
            self.entries.append(entry)
        elif _OPTION_LIKE.match(line):
            raise ScheduleError(
                f"{line[:40]!r} starts with an option, but has no time: write it as '10s [cut]: prompt'."
            )
        elif pin := _PIN.match(line):
            self._read_pin(pin[1], pin[2].strip())
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
            # checks the length here, so that its error gets the number of this line
            PromptSchedule((), length=self.length)

    def _read_pin(self, name: str | None, value: str) -> None:
        if self.entries or self.lead:
            raise ScheduleError(
                "a pin stands before the first prompt, like every header: move it up, or put the prompt that goes on "
                "here in double quotes."
            )
        if name is not None:
            if name in self.names:
                raise ScheduleError(f"'pin {name[:40]}:' is written twice: every name stands for one moment.")
            self.names.add(name)
        self.pins.append(Pin(parse_time(value), name))

    def _check_names(self, entry: _Entry) -> None:
        for name in entry.recall:
            if name not in self.names:
                raise _unknown_option(name)
        after = _OPTION.match(entry.lines[0])
        if after and after[1].strip() in self.names:
            raise _misplaced_option(entry.lines[0])

    def schedule(self) -> PromptSchedule:
        """Return what was read. Raises ScheduleError with the number of the line."""
        segments = []
        if self.lead:
            lead = " ".join(self.lead)
            segments += [Segment(Time(0, "s"), _unquote(lead))] if self.entries else _untimed_segments(lead)
        for entry in self.entries:
            try:
                segments.append(entry.segment())
            except ScheduleError as error:
                raise ScheduleError(f"line {entry.number}: {error}") from None
        return PromptSchedule(
            segments=tuple(segments),
            global_prompt=_unquote(self.headers.get("global", "")),
            length=self.length,
            pins=tuple(self.pins),
        )


def _untimed_segments(text: str) -> list[Segment]:
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


# -- one line with a time ---------------------------------------------------------------------------------------------


@dataclass
class _Entry:
    """A line with a time, and the lines that go on with its prompt."""

    number: int
    start: Time
    lines: list[str]
    switch: str = "recache"
    seed: int | None = None
    blend: Blend | None = None
    recall: list[str] = field(default_factory=list)

    def segment(self) -> Segment:
        """Return the segment. Raises ScheduleError."""
        return Segment(
            self.start,
            _unquote(" ".join(line for line in self.lines if line)),
            switch=self.switch,
            seed=self.seed,
            blend=self.blend,
            recall=tuple(self.recall),
        )

    def take_option(self, option: str) -> str:
        """Apply an option. Returns its kind, of which a line has only one: seed, switch, or the pin's name."""
        if seed := _SEED.fullmatch(option):
            self.seed = int(seed[1])
            return "seed"
        if option.split()[:1] == ["blend"]:
            self.switch = "blend"
            self.blend = _parse_blend(option)
            return "switch"
        if option in SWITCHES:
            self.switch = option
            return "switch"
        if not is_pin_name(option):
            raise _unknown_option(option)
        self.recall.append(option)
        return f"[{option}]"


def _match_entry(line: str, number: int) -> _Entry | None:
    """The entry that a stripped line starts, or None if it has no time."""
    if not (line[0].isdigit() or line[0] in "+-."):
        return None
    clock = clock_end(line)
    if clock is not None:
        options, text = _split_options(line, clock)
        # '16:90 wide shot' is a prompt: a clock time is read only in front of a colon
        if text is not None:
            return _entry(parse_time(line[:clock]), options, text, number)
    count = match_count(line)
    if count is None:
        return None
    options, text = _split_options(line, count.end)
    if text is None:
        if _OPTION_LIKE.match(line, count.end):
            raise ScheduleError(f"{line[:40]!r} has an option, but no colon after it: write it as '10s [cut]: prompt'.")
        return None
    # '16:9 wide shot' is a prompt
    if not count.word and not options and text[:1].isdigit():
        return None
    return _entry(count.time(), options, text, number)


def _split_options(line: str, end: int) -> tuple[list[str], str | None]:
    """The bracketed options after a time that ends at `end`, and the text after the colon; None without a colon."""
    options = []
    while found := _OPTION.match(line, end):
        options.append(found[1].strip())
        end = found.end()
    while end < len(line) and line[end] in " \t":
        end += 1
    return options, line[end + 1 :] if line[end : end + 1] == ":" else None


def _entry(start: Time, options: list[str], text: str, number: int) -> _Entry:
    text = text.strip()
    if _OPTION_LIKE.match(text):
        raise _misplaced_option(text)
    entry = _Entry(number, start, lines=[text])
    kinds = set()
    for option in options:
        kind = entry.take_option(option)
        if kind in kinds:
            raise ScheduleError(f"option [{option[:30]}] is the second {kind} of this line: keep one.")
        kinds.add(kind)
    return entry


def _parse_blend(option: str) -> Blend:
    words = option.split()[1:]
    default = Blend()
    path = words.pop() if words and words[-1] in BLEND_PATHS else default.path
    try:
        if not words:
            return Blend(default.length, path)
        (word,) = words
        # a bare number counts chunks here
        return Blend(Time(int(word), "chunks") if word.isdecimal() else parse_time(word), path)
    except ValueError:
        raise ScheduleError(
            f"option [{option[:30]}] must say chunks, a whole number of at least 1, or seconds above 0, and may add "
            f"{' or '.join(BLEND_PATHS)}: write [blend], [blend 6], [blend 3s] or [blend 6 spherical]."
        ) from None


def _misplaced_option(text: str) -> ScheduleError:
    return ScheduleError(
        f"{text[:30]!r} starts with an option after the colon: write it before the colon "
        f"('10s [cut]: prompt'), or put the prompt in double quotes."
    )


def _unknown_option(option: str) -> ScheduleError:
    return ScheduleError(
        f"option [{option[:30]}] is unknown: use {', '.join(f'[{name}]' for name in SWITCHES)}, [seed 7] or the name "
        f"of a pin (a header like 'pin hero: 3.5s' makes one)."
    )


def _unquote(text: str) -> str:
    """The string, if the text is one JSON string (a comma behind it is forgiven); else the text as it is."""
    quoted = text[:-1].rstrip() if text.endswith(",") else text
    if len(quoted) < 2 or quoted[0] != '"' or quoted[-1] != '"':
        return text
    try:
        return json.loads(quoted)
    except ValueError:
        return text


# -- writing ----------------------------------------------------------------------------------------------------------


def to_text(schedule: PromptSchedule) -> str:
    """Write a schedule in the text form, from which `from_text` reads an equal one."""
    lines = []
    if schedule.global_prompt:
        lines.append(f"global: {_quote(schedule.global_prompt)}")
    if schedule.length is not None:
        lines.append(f"length: {format_time(schedule.length)}")
    for pin in schedule.pins:
        header = "pin" if pin.name is None else f"pin {pin.name}"
        lines.append(f"{header}: {format_time(pin.time)}")
    for segment in schedule.segments:
        options = "".join(f" [{option}]" for option in _options_of(segment))
        lines.append(f"{format_time(segment.start)}{options}: {_quote(segment.prompt)}")
    return "\n".join(lines)


def _options_of(segment: Segment) -> list[str]:
    """The options that are written for a segment; defaults are left out."""
    options = []
    if segment.switch != "recache":
        options.append(segment.switch)
    if segment.blend is not None and segment.blend != Blend():
        length = segment.blend.length
        options[-1] += f" {length.value if length.unit == 'chunks' else format_time(length)}"
        options[-1] += "" if segment.blend.path == "linear" else f" {segment.blend.path}"
    if segment.seed is not None:
        options.append(f"seed {segment.seed}")
    return [*options, *segment.recall]


def _quote(prompt: str) -> str:
    """The prompt as it stands behind a colon, in double quotes where they are needed."""
    plain = prompt and prompt == prompt.strip() and prompt[0] not in '"[' and "\n" not in prompt and "\r" not in prompt
    return prompt if plain else json.dumps(prompt, ensure_ascii=False)
