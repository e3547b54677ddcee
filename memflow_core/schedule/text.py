r"""The text form of schedules: `from_text` reads it, `to_text` of `write` writes it.

    # a comment
    global: a red robot with one wheel, watercolour
    length: 60s
    pin hero: 3.5s
    0s: it walks across a meadow
    10s [cut] [seed 7]: a beach,
        empty but for gulls
    0:20 [blend 6 spherical] [hero]: the robot returns

Each change of prompt is a line `time options: prompt`, which holds until the next.

time      `10s`, `2min`; `0:10`, `1:02.5` or `1:00:00` (minutes and seconds, hours before them); `160f`: a video
          frame, as is a bare `160`, which is told; `12c`: a chunk; `39l`: a latent frame; `50%` of the story.
options   `[recache]`, `[soft]`, `[cut]`, `[blend]`, `[jump]`, `[fresh]` (a new story): how the prompt takes over. A
          blend may name its length and its path: `[blend 6]` chunks (4 where none is named), `[blend 3s]`,
          `[blend 6 spherical]` (else linear). `[seed 7]`: the segment's seed. `[hero]`: the pin of that name stands in
          memory in this segment. `[lora name 0.8]`: a LoRA that the model has in it. There may be several of both.
prompt    the rest of the line. A line without a time goes on with the prompt before it, joined by a space; text before
          the first time starts at 0. A prompt in double quotes is a JSON string: `"\n"` is a new line in it, `"\""`
          a quote. Quotes are needed where a prompt is empty, starts with a quote or a bracket, or holds line breaks or
          spaces at its ends; in any other prompt all characters stand for themselves, but
          for what the model cannot take (see `leftovers`), which is left out and told.
headers   `global:` a prompt put before every other; `length:` a time; `pin:` the time of a moment that memory keeps for
          good, and `pin hero:` of one that it keeps for the segments with `[hero]`, both as often as needed. Headers
          stand before the first prompt. A name is one word of letters, digits, `_` and `-` that starts with a letter.

Text without any time is one prompt at 0, or, as `a | b | c`, prompts spread evenly over the story.

Lines whose times are written in other ways are read as well, see `loose_line`, `labelled` and `inline`: ranges,
brackets, list marks, labels, dashes and arrows, full-width characters. What is left out then is noted. A text with two
or more times that would come out as one prompt is refused (see `guard`), and so is a time left among the words of a
prompt. The same prompt again without an option holds the one before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from .assembly import read_ranges, segments_of, without_repeats
from .entries import (
    Left,
    at_line,
    check_prompts,
    check_strays,
    check_units,
    clean_prompt,
    refuse_lengths,
    refuse_times,
    split_bars,
    split_entries,
    sure_times,
    unitless,
    unwrap,
    without_list_marks,
)
from .errors import ScheduleError, shorten
from .fold import fold
from .foreign import begins_shot, shots_note, words_note
from .guard import count_times, looks_timed
from .headers import Headers, is_time, match_header, match_pin
from .leftovers import is_negative_line
from .line import OPTION, OPTION_LIKE, Entry, misplaced_option, quoted_string, unknown_option, unquote
from .lines import Line, choose, entry_of, headings_of, lines_of
from .loose_line import loose_or_none
from .prose import is_farewell, is_named, is_preamble, is_rule, is_title
from .schedule import PromptSchedule, Segment
from .sightings import CLOCK, SHORT, is_timely
from .slips import hides_time, is_odd_time, is_slip
from .spans import find_lengths
from .time import Time


def from_text(text: str) -> PromptSchedule:
    """Read the text form. Raises ScheduleError with the number of the line and the fix."""
    whole = quoted_string(" ".join(line for written in text.split("\n") if (line := written.strip())))
    if whole is not None:
        return PromptSchedule((Segment(Time(0, "s"), whole),))
    lines = list(lines_of(text))
    timed = {line.number for line in choose(lines)}
    reader = _Reader(timed=timed, headings=headings_of(lines, timed), texts={line.number: line.text for line in lines})
    for line in lines:
        at_line(line.number, lambda line=line: reader.read(line))
    if not reader.entries:
        _check_comments(text)
    _check_slips(lines, reader)
    literal = reader.literal()
    schedule = reader.schedule()
    if len(reader.entries) < 2 and (len(schedule.segments) < 2 or not reader.entries):
        words = reader.words - literal
        _check_crowd([line for line in lines if line.number in words or line.text[0] == "#"])
    return schedule


_KINDS = {"clock/s": CLOCK, "count/s": SHORT}


def _check_crowd(lines: list[Line]) -> None:
    """Raise ScheduleError where the lines of one prompt, or of prompts that share the story, hold two times."""
    timed = [line.entry for line in lines if line.entry]
    texts = [line.entry.text if line.entry else line.text for line in lines]
    kinds = [_KINDS.get("/".join(entry.style[:2]), "") for entry in timed if not entry.start.value]
    words = "\n".join(texts)
    lasting = None if timed or quoted_string(words) is not None else find_lengths(words)
    if lasting is not None:
        raise refuse_lengths(lines[lasting].number, lines[lasting].text)
    count = count_times(words, "".join(kinds[:1]), begun=bool(lines and lines[0].entry))
    odd = sum(looks_timed(line.text) for line in lines if not line.entry)
    if len(timed) + max(count, odd) > 1:
        last = [line for line in lines if line.entry or looks_timed(line.text)]
        last = last or [line for line in lines if is_timely(line.text)] or lines
        raise refuse_times(last[-1].number, last[-1].text)


def _check_comments(text: str) -> None:
    """Raise ScheduleError where two or more times stand in comments, and none elsewhere."""
    times = []
    for number, written in enumerate(text.split("\n"), 1):
        line = written.strip()
        found = loose_or_none(line.lstrip("# ")) if line.startswith("#") and len(times) < 2 else None
        if found and found.style[0] != "bare":
            times.append((number, line))
    if len(times) > 1:
        raise refuse_times(*times[0])


def _check_slips(lines: list[Line], reader: _Reader) -> None:
    """Raise ScheduleError for a line that was meant to begin a prompt: the words behind a slip, or one left out."""
    ranges = any(entry.end for entry in reader.entries)
    bullets = any(line.text[0] in "-*\u2022" for line in lines if line.number in reader.timed)
    literal = reader.literal()
    inner = {number for entry in reader.entries for number in entry.numbers}
    inner |= {number for number, _ in reader.lead} if reader.entries else set()
    for line in lines:
        if line.number in literal:
            continue
        slip = line.number in inner and is_slip(line.text, ranges, bullets)
        slip = slip or (line.number in reader.timed and is_odd_time(line.text))
        if slip or (line.number in reader.left.lines and line.number in reader.headed and hides_time(line.text)):
            raise refuse_times(line.number, line.text)


_STYLE = re.compile(r"(?:style|genre|mood|tone|look|\u98ce\u683c|stil)[ \t]?[:\uff1a]", re.IGNORECASE)
_NUMERAL = re.compile(r"[0-9.,:]{1,12}[ \t]?[a-z]{0,7}", re.IGNORECASE)


def _is_length(name: str, value: str) -> bool:
    """Whether a header is the story's length, which may stand below a prompt without a time."""
    return name == "length" and is_time(value)


def _is_row(line: str) -> bool:
    """Whether a bar stands within a line, but not at an end of it, where it parts it from the next."""
    first, *more = split_bars(line)
    return bool(more and first.strip() and more[-1].strip())


@dataclass
class _Reader:
    """Collects the parts of a schedule line by line.

    timed    numbers of the lines that hold a time.
    headings numbers of the lines that name the part which begins in the next one.
    lead     lines of prompt before the first time, with their numbers.
    skipping whether lines belong to a negative prompt, or to words behind the schedule, until a time follows.
    words    numbers of the lines that hold a time or words of a prompt.
    texts    all lines by their numbers.
    headed   numbers of the lines that are left out as headings.
    """

    timed: set[int]
    headings: set[int]
    headers: Headers = field(default_factory=Headers)
    lead: list[tuple[int, str]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    left: Left = field(default_factory=Left)
    skipping: str = ""
    words: set[int] = field(default_factory=set)
    texts: dict[int, str] = field(default_factory=dict)
    headed: set[int] = field(default_factory=set)

    def read(self, line: Line) -> None:
        """Read one line. Raises ScheduleError."""
        entry = entry_of(line) if line.number in self.timed else None
        if line.text[0] == "#" and line.number not in self.timed:
            self._leave_heading(line)
            return
        self.words.add(line.number)
        if entry:
            self._begin(entry, line)
        elif line.number in self.headings:
            self.left.lines.append(line.number)
            self.headed.add(line.number)
            self.words.discard(line.number)
        elif self._leave_out(line):
            self.words.discard(line.number)
        elif OPTION_LIKE.match(line.text):
            raise ScheduleError(
                f"{line.text[:40]!r} starts with an option, but has no time: write it as '10s [cut]: prompt'."
            )
        elif pin := match_pin(line.text):
            self.words.discard(line.number)
            self.headers.read_pin(*pin, begun=bool(self.entries or self.lead))
        elif self.entries:
            if header := match_header(line.text):
                raise ScheduleError(
                    f"'{header[0]}:' stands before the first prompt, like every header: move it up, or put the prompt "
                    f"that goes on here in double quotes."
                )
            if line.first and any(self.entries[-1].lines):
                self.left.behind.append(line.number)
            self.entries[-1].lines.append(line.text)
            self.entries[-1].numbers.append(line.number)
        elif (header := match_header(line.text)) and (not self.lead or _is_length(*header)):
            self.words.discard(line.number)
            self.headers.read(*header)
        else:
            self.lead.append((line.number, line.text))

    def literal(self) -> set[int]:
        """Numbers of the lines of prompts in double quotes, which may be several; nothing in them is a time."""
        quoted = [entry for entry in self.entries if quoted_string(entry.text) is not None]
        return {number for entry in quoted for number in [entry.number, *entry.numbers]}

    def _leave_heading(self, line: Line) -> None:
        """Leave out a heading without a time; one of a negative prompt with the words below it."""
        negative = is_negative_line(fold(line.text).text)
        self.skipping = "heading" if negative else ""
        self.headed.add(line.number)
        (self.left.negatives if negative else self.left.lines).append(line.number)

    def _begin(self, entry: Entry, line: Line) -> None:
        entry.settle_switch(self.headers.names)
        for name in entry.recall:
            if name not in self.headers.names:
                raise unknown_option(name)
        after = OPTION.match(entry.lines[0])
        if after and after[1].strip() in self.headers.names:
            raise misplaced_option(entry.lines[0])
        if line.loose and line.loose.labelled:
            self.left.labels.append(line.number)
        self.skipping = ""
        self.left.behind = []
        self.entries.append(entry)

    @cached_property
    def _last_timed(self) -> int:
        return max(self.timed, default=0)

    def _leave_out(self, line: Line) -> bool:
        """Leave out a line that is no part of a prompt, and say so: a negative prompt, a rule, words around it."""
        folded = fold(line.text).text
        if self.skipping == "heading":
            self.skipping = "negative"
        elif line.first and self.skipping == "negative":
            self.skipping = ""
        if is_negative_line(folded):
            self.skipping = "negative"
        elif self.entries and line.number > self._last_timed and is_farewell(folded, apart=line.first):
            self.skipping = "farewell"
        elif self.skipping == "negative" and is_named(folded):
            self.skipping = ""
            return False
        elif not self.skipping and not (self.timed and is_rule(line.text)):
            return False
        (self.left.negatives if self.skipping == "negative" else self.left.lines).append(line.number)
        return True

    def schedule(self) -> PromptSchedule:
        """Return what was read. Raises ScheduleError with the number of the line."""
        self._drop_preamble()
        if not self.entries:
            segments = self._untimed()
            shots = any(begins_shot(segment.prompt) for segment in segments[1:])
            return self._made(segments, None).with_notes(shots_note([self.lead[0][0]] if shots else []))
        without_list_marks(self.entries)
        entries = split_entries(self.entries)
        unwrap(entries, self.left)
        check_prompts(entries)
        check_strays(entries)
        check_units(entries)
        prompts = [clean_prompt(entry.text, entry.number, self.left) for entry in entries]
        self._check_single(entries)
        ranges = read_ranges([(entry.start, entry.end) for entry in entries])
        told = [*unitless(entries), *words_note([word for entry in entries for word in entry.foreign])]
        kept = without_repeats(entries, prompts, self.left)
        told += shots_note([one.number for one, text in kept[1:] if begins_shot(text) and not one.optioned])
        entries, prompts = [entry for entry, _ in kept], [prompt for _, prompt in kept]
        segments = segments_of(entries, prompts)
        if self.lead:
            segments.insert(0, Segment(Time(0, "s"), self._lead_prompt()))
        schedule = self._made(segments, ranges.length)
        return schedule.with_notes([*ranges.notes, *told])

    def _made(self, segments: list[Segment], length: Time | None) -> PromptSchedule:
        headers = self.headers
        global_prompt = clean_prompt(headers.text, headers.line, self.left)
        return PromptSchedule(
            segments=tuple(segments),
            global_prompt=global_prompt,
            length=headers.length or length,
            pins=tuple(headers.pins),
            notes=tuple(self.left.notes()),
        )

    def _drop_preamble(self) -> None:
        """Leave out words that introduce the schedule. Raises ScheduleError for others before a time of 0."""
        if not self.lead or not self.entries:
            return
        if self.entries[0].start.value:
            self._drop_titles()
            return
        for number, line in self.lead:
            if not is_preamble(line):
                raise ScheduleError(
                    f"line {number}: {line[:40]!r} stands before the prompt at 0: write 'global: ...' if it belongs to "
                    f"every prompt, or take it out."
                )
        self.left.lines += [number for number, _ in self.lead]
        self.lead = []

    def _drop_titles(self) -> None:
        """Leave out what can be no prompt at 0. Raises ScheduleError for a style alone, which is meant for all."""
        titles = {number for number, line in self.lead if is_title(line)}
        self.left.lines += sorted(titles)
        self.lead = [(number, line) for number, line in self.lead if number not in titles]
        if self.lead and all(_STYLE.match(line) for _, line in self.lead):
            number, line = self.lead[0]
            raise ScheduleError(
                f"line {number}: {shorten(line)} stands before the first time: write 'global: ...' if it belongs to "
                f"every prompt, or '0s: ...' if it is the first."
            )

    def _lead_prompt(self) -> str:
        return clean_prompt(" ".join(line for _, line in self.lead), self.lead[0][0], self.left)

    def _untimed(self) -> list[Segment]:
        """One prompt, or several that share the story evenly."""
        if not self.lead:
            return []
        text = " ".join(line for _, line in self.lead)
        if sure_times(text) > 1:
            raise refuse_times(*next((line for line in self.lead if sure_times(line[1])), self.lead[0]))
        if self.left.lines and all(is_farewell(fold(line).text, apart=True) for _, line in self.lead):
            raise refuse_times(self.left.lines[0], self.texts[self.left.lines[0]])
        unquoted = unquote(text)
        parts = [unquoted] if unquoted != text else [part.strip() for part in split_bars(text)]
        if len(parts) == 1:
            return [Segment(Time(0, "s"), self._lead_prompt())]
        rows = [(number, line) for number, line in self.lead if _is_row(line)]
        if len(rows) > 1 and unquoted == text and count_times("\n".join(line for _, line in rows)) > 1:
            raise refuse_times(*rows[0])
        if len(rows) > 1 and unquoted == text:
            raise ScheduleError(
                f"line {rows[0][0]}: {shorten(rows[0][1])} is one of several rows with a '|': write each prompt as in "
                f"'4s: a prompt', or all of them in one line as in 'a | b'."
            )
        if any(_NUMERAL.fullmatch(part) for part in parts):
            raise refuse_times(*self.lead[0])
        for number, part in enumerate(parts, 1):
            if not part:
                raise ScheduleError(
                    f"prompt {number} of {len(parts)} in 'a | b' form is empty: write it, or leave out a '|'."
                )
        taken = [self.left.take(part, self.lead[0][0]) for part in parts]
        return [Segment(Time(100 * place / len(taken), "percent"), part) for place, part in enumerate(taken)]

    def _check_single(self, entries: list[Entry]) -> None:
        """Raise ScheduleError for one prompt with times in it."""
        if len(entries) == 1 and not self.lead and sure_times(entries[0].text):
            raise refuse_times(entries[0].number, entries[0].text)
