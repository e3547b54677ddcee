"""Schedules in the forms that people have: `read_schedule` tells them apart.

text            see `schedule_text`.
list (API)      `[{"time": "10s", "prompt": "...", "switch": "cut", "seed": 1}, ...]` or `[["10s", "..."], ...]`.
                `time` is a text as in the text form, a number (a video frame) or `{"s": 10}` with a unit of `Time`;
                in its place `start_s`, `frame`, `chunk`, `latent` or `percent` may hold the number. With the switch
                `blend` there may be `"blend": {"chunks": 6, "path": "spherical"}`, or `"s"` for `"chunks"`; pins are
                asked for by `"recall": ["hero"]`.
object (API)    `{"segments": list form, "global_prompt": "...", "length": time, "pins": [...]}`, each pin as in
                `{"time": "3.5s", "name": "hero"}`, with a name or without; times as in the list form.
frames          `"0": "...", "24": "..."`, as FizzNodes and AnimateDiff-Evolved have it: video frames. Prompts are held,
                not blended.
MemFlow JSONL   `{"prompts": ["...", ...], "switch_frame_indices": [40, ...]}`, one story a line; the switches are
                latent frames, one for each prompt but the first (a 0 for it is accepted). Without them prompts are
                spread evenly. The outer braces may be missing: programs that take braces for choices, as in
                `{red|blue}`, remove them on the way from a workflow file to the server.
Scope timeline  `{"prompts": [{"startTime": 0, "endTime": 5, "prompts": [{"text": "...", "weight": 100}]}]}`, seconds. A
                gap goes on with the prompt before it; the last end is the length. `"transitionSteps": 4` is a blend
                over so many chunks, along `"temporalInterpolationMethod"` (`linear` or `slerp`). Other keys, such as
                settings, are not about the schedule and stay unread.

Lists and objects may come as Python values or as JSON text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ScheduleError, require, shorten, show
from .json_form import from_segments, read_entries
from .schedule import Blend, PromptSchedule, Segment
from .text import from_text
from .time import Time

_SCOPE_PATHS = {"linear": "linear", "slerp": "spherical"}
# times that a timeline editor rounds differently still touch
_TOUCH_S = 1e-3

_JSON_START = re.compile(r'\{\s*["}]|\[\s*[\[{"\]]')
_BARE_SCRIPT = re.compile(r'"prompts"\s*:\s*\[')
_STRING = r'"(?:[^"\\]|\\.)*"'
_FRAMES_PAIR = re.compile(rf'\s*("[^"]*"|[^"=:\s]+)\s*[:=]\s*({_STRING})\s*', re.DOTALL)
# a quoted frame; `0 = "..."`; `{0: "..."`; or `0: "...", 24: "`, which is one prompt a line in the text form
_FRAMES_START = re.compile(
    r'\{?\s*"[-+.]?[0-9][^"]*"\s*[:=]|\{?\s*[0-9]+\s*=\s*"|\{\s*[0-9]+\s*:\s*"'
    rf'|[0-9]+\s*:\s*{_STRING}\s*,\s*"?[0-9]+"?\s*[:=]\s*"',
    re.DOTALL,
)


def read_schedule(source: object, line: int | None = None) -> PromptSchedule:
    """Read a schedule in any of this module's forms.

    line  which story of a MemFlow JSONL with several, from 1.

    Raises ScheduleError in one sentence, with the line or entry and what to do; also for a schedule that is empty,
    does not start at 0, or whose times do not rise.
    """
    if isinstance(source, PromptSchedule):
        schedule = source
    elif isinstance(source, str):
        schedule = _from_string(source.removeprefix("\ufeff").strip(), line)
    else:
        schedule = _from_object(source)
    schedule.check_order()
    return schedule


def _from_string(text: str, line: int | None) -> PromptSchedule:
    if _BARE_SCRIPT.match(text):
        text = f"{{{text.removesuffix(',')}}}"
    stories = _stories(text)
    if line is not None or len(stories) > 1:
        return _from_object(_load(_chosen(stories, line)))
    if _FRAMES_START.match(text):
        return _from_frames(text)
    if _JSON_START.match(text):
        return _from_object(_load(text))
    return from_text(text)


# -- JSON -------------------------------------------------------------------------------------------------------------


def _load(text: str) -> Any:
    """JSON without NaN, Infinity and repeated keys. Raises ScheduleError with the line."""
    try:
        return json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except ScheduleError:
        raise
    except json.JSONDecodeError as error:
        raise ScheduleError(
            f"line {error.lineno}: this is no valid JSON ({error.msg}, column {error.colno}): mend it, "
            f"or write the schedule as text, one '10s: prompt' a line."
        ) from None
    except RecursionError:
        raise ScheduleError("this JSON is nested too deeply to be a schedule.") from None
    except ValueError:
        raise ScheduleError("this JSON holds a number of too many digits: mend it.") from None


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        require(key not in found, f"key {shorten(key)} is given twice in one JSON object: keep one.")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ScheduleError(f"this JSON holds {name}, but every number must be finite.")


def _from_object(source: object) -> PromptSchedule:
    if isinstance(source, (list, tuple)):
        return PromptSchedule(tuple(read_entries(source)))
    require(isinstance(source, Mapping), f"a schedule is text, a list or an object, not {show(source)}.")
    if "prompts" in source:
        prompts = source["prompts"]
        require(
            isinstance(prompts, (list, tuple)) and len(prompts) > 0,
            f"'prompts' is {show(prompts)}, but must be a list of at least one prompt.",
        )
        return _from_timeline(prompts) if isinstance(prompts[0], Mapping) else _from_memflow(source)
    if "segments" in source:
        return from_segments(source)
    require(
        bool(source) and all(isinstance(key, str) and key[:1].isdigit() for key in source),
        f"this object has the keys {show(list(source))}, but a schedule has 'segments', 'prompts', or video "
        f"frames as keys.",
    )
    return PromptSchedule(tuple(Segment(_frame(key), prompt) for key, prompt in source.items()))


# -- frames as keys ---------------------------------------------------------------------------------------------------


def _frame(key: str) -> Time:
    # a colon behind the frame asks for no blending; there is none here
    digits = key.strip().removesuffix(":")
    require(
        digits.isascii() and digits.isdigit() and len(digits) <= 13,
        f'key {shorten(key)} is no video frame: write a whole number, as in "24": "prompt".',
    )
    return Time(int(digits), "frames")


def _from_frames(text: str) -> PromptSchedule:
    """`"0": "a", "24": "b",` with or without braces; `=` for `:`, a comma at the end and line breaks are forgiven."""
    position, end = 0, len(text)
    if text.startswith("{"):
        require(text.endswith("}"), "the schedule starts with '{', but has no '}' at its end: add it.")
        position, end = 1, len(text[:-1].rstrip())
    segments = []
    while position < end:
        found = _FRAMES_PAIR.match(text, position, end)
        try:
            segments.append(_frame_segment(found, text[position : position + 60]))
            position = found.end()
            if position < end and text[position] != ",":
                raise ScheduleError(f"expected a comma before {shorten(text[position : position + 60])}.")
        except ScheduleError as error:
            raise ScheduleError(f"line {_line_of(text, position)}: {error}") from None
        position += 1
    return PromptSchedule(tuple(segments))


def _frame_segment(found: re.Match | None, rest: str) -> Segment:
    if found is None:
        raise ScheduleError(
            f'expected "frame": "prompt", not {shorten(rest.strip())}: put the prompt in double quotes, and write \\" '
            f"for a quote within."
        )
    try:
        prompt = json.loads(found[2], strict=False)
    except ValueError:
        raise ScheduleError(f"{shorten(found[2])} holds a backslash that means nothing: write \\\\ for it.") from None
    return Segment(_frame(found[1].strip('"')), prompt)


def _line_of(text: str, position: int) -> int:
    """The line, from 1, of the first character after `position` that is no space."""
    while position < len(text) and text[position].isspace():
        position += 1
    return text.count("\n", 0, position) + 1


# -- MemFlow ----------------------------------------------------------------------------------------------------------


def _stories(text: str) -> list[str]:
    """The lines of a JSONL; empty if it is none."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or not lines[0].lstrip().startswith("{"):
        return []
    try:
        first = _load(lines[0])
    except ScheduleError:
        return []
    return lines if isinstance(first, dict) and "prompts" in first else []


def _chosen(stories: Sequence[str], line: int | None) -> str:
    count = len(stories)
    require(count > 0, f"line is {show(line)}, but only a MemFlow JSONL has lines to choose from: leave it out.")
    require(line is not None, f"the text holds {count} stories, one a line: keep one, or choose line 1 to {count}.")
    whole = isinstance(line, int) and not isinstance(line, bool)
    require(whole and 1 <= line <= count, f"line is {show(line)}, but must be from 1 to {count}.")
    return stories[line - 1]


def _from_memflow(source: Mapping) -> PromptSchedule:
    prompts, switches = source["prompts"], source.get("switch_frame_indices")
    if switches is None:
        starts = [Time(100 * place / len(prompts), "percent") for place in range(len(prompts))]
    else:
        require(
            isinstance(switches, (list, tuple)),
            f"switch_frame_indices is {show(switches)}, but must be a list of latent frames.",
        )
        named = len(switches) == len(prompts) and switches[0] == 0
        require(
            named or len(switches) == len(prompts) - 1,
            f"{len(prompts)} prompts need {len(prompts) - 1} switch_frame_indices, one for each but the first, but "
            f"there are {len(switches)}.",
        )
        starts = [Time(frame, "latent") for frame in (switches if named else (0, *switches))]
    return PromptSchedule(tuple(Segment(start, prompt) for start, prompt in zip(starts, prompts, strict=True)))


# -- Scope ------------------------------------------------------------------------------------------------------------


def _from_timeline(entries: Sequence) -> PromptSchedule:
    spans = []
    for number, entry in enumerate(entries, 1):
        try:
            times = _seconds(entry, "startTime"), _seconds(entry, "endTime")
            spans.append((*times, number, (_heaviest(entry), *_transition(entry))))
        except ScheduleError as error:
            raise ScheduleError(f"timeline entry {number}: {error}") from None
    # a timeline places its entries by their times, in whatever order they stand
    spans.sort(key=lambda span: span[:3])
    before_end, before = 0.0, 0
    for start, end, number, _ in spans:
        if end <= start:
            raise ScheduleError(f"timeline entry {number} ends at {end} s, but starts at {start} s: make it longer.")
        if start < before_end - _TOUCH_S:
            raise ScheduleError(
                f"timeline entry {number} starts at {start} s, before entry {before} ends at {before_end} s: entries "
                f"must not overlap."
            )
        before_end, before = end, number
    segments = tuple(
        Segment(Time(start, "s"), text, switch, blend=blend) for start, _, _, (text, switch, blend) in spans
    )
    return PromptSchedule(segments, length=Time(before_end, "s"))


def _seconds(entry: object, key: str) -> float:
    require(isinstance(entry, Mapping) and key in entry, f"{key} is missing.")
    return Time(entry[key], "s").value


def _transition(entry: Mapping) -> tuple[str, Blend | None]:
    """Switch and blend of a timeline entry. Its transition makes one step a chunk; 0 or none is a plain switch."""
    steps = entry.get("transitionSteps") or 0
    if steps == 0:
        return "recache", None
    way = entry.get("temporalInterpolationMethod") or "linear"
    known = isinstance(way, str) and way in _SCOPE_PATHS
    require(known, f"temporalInterpolationMethod is {show(way)}, but must be {' or '.join(_SCOPE_PATHS)}.")
    return "blend", Blend(Time(steps, "chunks"), _SCOPE_PATHS[way])


def _heaviest(entry: Mapping) -> str:
    """The one text that counts. Raises ScheduleError if several do: prompts are not mixed."""
    texts = entry.get("prompts") or [{"text": entry.get("text", "")}]
    require(
        isinstance(texts, (list, tuple)) and all(isinstance(text, Mapping) and "text" in text for text in texts),
        f"prompts is {show(texts)}, but must be a list of objects with a text.",
    )
    weighted = [text for text in texts if text.get("weight", 100) != 0]
    require(
        len(weighted) == 1,
        f"{len(weighted)} of its texts have a weight other than 0, but prompts are not blended: keep one, for example "
        f"{show(texts[0]['text'])}.",
    )
    return weighted[0]["text"]
