"""One line of the text form: `time options: prompt`, and the options that may stand in it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from ..config import BLEND_PATHS, SWITCHES
from .errors import ScheduleError
from .foreign import MARKS, foreign_switch
from .lora import Lora, is_lora_option, read_lora
from .schedule import LATER_SWITCHES, Blend, Segment, is_pin_name
from .time import Time, clock_end, match_count, parse_time

# Every repetition below is followed by something it cannot match itself, so that matching takes linear time.
OPTION = re.compile(r"[ \t]*\[([^\[\]]*)\]")
_BLEND_LIKE = rf"blend(?:[ \t]+(?:[-+]?[0-9.][\w.]*|{'|'.join(BLEND_PATHS)})){{0,2}}"
_SEED_LIKE = r"seed[ \t:=]*(?:[0-9]+[ \t]*)?"
# prompts could begin with `[jump]` before that was an option, and still can
_FIRST_SWITCHES = "|".join(switch for switch in SWITCHES if switch not in LATER_SWITCHES)
_LORA_LIKE = r"lora[ \t]+[^\[\]]{1,300}[ \t][-+]?[0-9.]{1,9}[ \t]*(?=\])"
_MARK_LIKE = rf"(?i:{'|'.join(MARKS)})[ \t]*(?=\])"
OPTION_LIKE = re.compile(
    rf"[ \t]*\[[ \t]*(?:{_SEED_LIKE}|{_LORA_LIKE}|{_MARK_LIKE}|(?:{_FIRST_SWITCHES}|{_BLEND_LIKE})[ \t]*)(?:\]|:|$)"
)
_SEED = re.compile(r"seed[ \t:=]+([0-9]{1,20})")


@dataclass
class Entry:
    """A line with a time, and the lines that go on with its prompt.

    style  how the time is written: `count`, `clock` or `bare`, its unit, and the bracket around it.
    end    of a range; None where none is written.
    loose  whether the time is written in another shape than the text form's.
    weak   whether it stands in front of words without a colon.
    numbers  of the lines behind its first.
    optioned  whether options are written with it.
    later     of them, switches that may be the name of a pin, too: [jump], [fresh], and other programs' words.
    foreign   other programs' words that were taken as its switch.
    """

    number: int
    start: Time
    lines: list[str]
    style: tuple[str, ...] = ("count", "s", "")
    switch: str = "recache"
    seed: int | None = None
    blend: Blend | None = None
    recall: list[str] = field(default_factory=list)
    end: Time | None = None
    loose: bool = False
    weak: bool = False
    numbers: list[int] = field(default_factory=list)
    optioned: bool = False
    later: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    loras: list[Lora] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its words as they are written, lines joined by a space."""
        return " ".join(line for line in self.lines if line)

    @property
    def plain(self) -> bool:
        """Whether the same prompt before it makes it do nothing: it has no switch, seed or pins of its own."""
        return self.switch == "recache" and self.seed is None and not self.recall and not self.optioned

    def segment(self, prompt: str) -> Segment:
        """Return the segment with this prompt. Raises ScheduleError."""
        return Segment(
            self.start,
            prompt,
            switch=self.switch,
            seed=self.seed,
            blend=self.blend,
            recall=tuple(self.recall),
            loras=tuple(self.loras),
        )

    def take_option(self, option: str) -> str:
        """Apply an option. Returns its kind, of which a line has only one: seed, switch, or the name of a pin or LoRA.

        Raises ScheduleError for one that is unknown.
        """
        if is_lora_option(option):
            self.loras.append(read_lora(option))
            return f"[lora {self.loras[-1].name}]"
        if seed := _SEED.fullmatch(option):
            self.seed = int(seed[1])
            return "seed"
        if option.split()[:1] == ["blend"]:
            self.switch = "blend"
            self.blend = _parse_blend(option)
            return "switch"
        if option in LATER_SWITCHES or foreign_switch(option):
            self.later.append(option)
            return f"[{option}]"
        if option in SWITCHES:
            self.switch = option
            return "switch"
        if not is_pin_name(option):
            raise unknown_option(option)
        self.recall.append(option)
        return f"[{option}]"

    def settle_switch(self, pins: Collection[str]) -> None:
        """Take [jump], [fresh] and other programs' words as pins of that name, if there are any, else as switches.

        Raises ScheduleError for a second switch.
        """
        for option in self.later:
            if option in pins:
                self.recall.append(option)
            elif self.switch != "recache" or self.blend is not None:
                raise ScheduleError(f"option [{option}] is the second switch of this line: keep one.")
            else:
                self.foreign += [option] if foreign_switch(option) else []
                self.switch = foreign_switch(option) or option


def match_entry(line: str, number: int) -> Entry | None:
    """The entry that a stripped line starts, or None if it has no time."""
    if not (line[0].isdigit() or line[0] in "+-."):
        return None
    clock = clock_end(line)
    if clock is not None:
        options, text = split_options(line, clock)
        # '16:90 wide shot' is a prompt: a clock time is read only in front of a colon
        if text is not None:
            return make_entry(parse_time(line[:clock]), options, text, number, ("clock", "s", ""))
    count = match_count(line)
    if count is None:
        return None
    options, text = split_options(line, count.end)
    if text is None:
        if OPTION_LIKE.match(line, count.end):
            raise ScheduleError(f"{line[:40]!r} has an option, but no colon after it: write it as '10s [cut]: prompt'.")
        return None
    # '16:9 wide shot' is a prompt
    if not count.word and not options and text[:1].isdigit():
        return None
    time = count.time()
    style = ("count", time.unit, "") if count.word else ("bare", "", "")
    return make_entry(time, options, text, number, style)


def split_options(line: str, end: int) -> tuple[list[str], str | None]:
    """The bracketed options after a time that ends at `end`, and the text after the colon; None without a colon."""
    options = []
    while found := OPTION.match(line, end):
        options.append(found[1].strip())
        end = found.end()
    while end < len(line) and line[end] in " \t":
        end += 1
    return options, line[end + 1 :] if line[end : end + 1] == ":" else None


def make_entry(start: Time, options: list[str], text: str, number: int, style: tuple[str, ...]) -> Entry:
    """Make the entry of a line. Raises ScheduleError for options that are unknown, or two of one kind."""
    text = text.strip()
    if OPTION_LIKE.match(text):
        raise misplaced_option(text)
    entry = Entry(number, start, [text], style, optioned=bool(options))
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


def misplaced_option(text: str) -> ScheduleError:
    return ScheduleError(
        f"{text[:30]!r} starts with an option after the colon: write it before the colon "
        f"('10s [cut]: prompt'), or put the prompt in double quotes."
    )


def unknown_option(option: str) -> ScheduleError:
    return ScheduleError(
        f"option [{option[:30]}] is unknown: use {', '.join(f'[{name}]' for name in SWITCHES)}, [seed 7], "
        f"[lora name 0.8] or the name of a pin (a header like 'pin hero: 3.5s' makes one)."
    )


def unquote(text: str) -> str:
    """The string, if the text is one JSON string (a comma behind it is forgiven); else the text as it is."""
    quoted = quoted_string(text)
    return text if quoted is None else quoted


def quoted_string(text: str) -> str | None:
    """The string that a text is, as JSON, with a comma behind it or none; None for any other text."""
    quoted = text[:-1].rstrip() if text.endswith(",") else text
    if len(quoted) < 2 or quoted[0] != '"' or quoted[-1] != '"':
        return None
    try:
        return json.loads(quoted)
    except ValueError:
        return None
