"""Read files of scripts: stories as lists of prompts, as the published benchmarks keep them.

JSONL         one story a line, `{"prompts": [...], "switch_frame_indices": [...]}`: MemFlow, LongLive, NarraStream.
scene lines   one story a line, `prompt [10s#] | prompt [10s@] | prompt [10s]; titles`: Echo-Forcing. `#` behind a
              scene cuts to the next one, `@` goes back to the earlier scene whose prompt is most like the next one's.
text          one schedule, in any form that `read_schedule` knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..schedule import PromptSchedule, ScheduleError, Time, from_scene_line, is_scene_line, read_schedule, to_text
from .errors import JobError, cut, say

PROMPT_S = 10.0  # seconds of a prompt in a script that names no times: 60 s for its usual six
_KEYS = ("prompts", "switch_frame_indices")
_NAMES = ("id", "name", "prompt_id", "story_id")


@dataclass(frozen=True)
class Script:
    """One story of a file.

    name      from the file, or its number there.
    schedule  as text, for a MemFlow Prompt Schedule.
    told      what reading it left out or took in another way than it is written, a sentence each.
    """

    name: str
    schedule: str
    told: tuple[str, ...] = ()

    @staticmethod
    def of(name: str, schedule: PromptSchedule, unused: Sequence[str] = ()) -> Script:
        """unused: names of what the file says beside it, which is not used."""
        beside = [f"not used: {', '.join(unused)}"] if unused else []
        return Script(name, to_text(schedule), (*map(str, schedule.notes), *beside))


def read_scripts(text: str, *, prompt_s: float = PROMPT_S) -> list[Script]:
    """Read all stories of a file's text. prompt_s: seconds of each prompt where a JSONL names no times.

    Raises JobError in one sentence, with the line.
    """
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise JobError("the file is empty: write a story into it.")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if _is_jsonl(lines):
        return [_at(number, _from_json, line, number, prompt_s) for number, line in lines]
    if is_scene_line(lines[0][1]):
        return [_at(number, _from_scenes, line, number) for number, line in lines]
    try:
        return [Script.of("", read_schedule(text))]
    except ScheduleError as error:
        raise JobError(str(error)) from None


def read_value(value: Any) -> Script:
    """Read one schedule from a JSON list or object. Raises JobError in one sentence."""
    try:
        return Script.of("", read_schedule(value))
    except ScheduleError as error:
        raise JobError(str(error)) from None


def _is_jsonl(lines: Sequence[tuple[int, str]]) -> bool:
    """Whether the first line alone is a JSON object, or the start of a broken one with prompts."""
    first = lines[0][1]
    if not first.startswith("{"):
        return False
    try:
        value = json.loads(first)
    except ValueError:
        # one object over several lines is no JSONL
        return len(lines) > 1 and lines[1][1].startswith("{") and '"prompts"' in first
    return isinstance(value, dict) and ("prompts" in value or len(lines) > 1)


def _at(number: int, read: Any, *args: Any) -> Script:
    try:
        return read(*args)
    except (ScheduleError, JobError) as error:
        raise say(f"line {number}", str(error)) from None


def _from_json(line: str, number: int, prompt_s: float) -> Script:
    try:
        story = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JobError(f"{cut(line, 40)} is no JSON ({str(error)[:80]}): write one object a line.") from None
    if not isinstance(story, Mapping) or "prompts" not in story:
        raise JobError(f'{cut(line, 40)} has no "prompts": write {{"prompts": ["...", "..."]}}.')
    prompts = story["prompts"]
    if isinstance(prompts, list) and any(isinstance(prompt, str) and not prompt.strip() for prompt in prompts):
        empty = next(place for place, prompt in enumerate(prompts, 1) if isinstance(prompt, str) and not prompt.strip())
        raise JobError(f"prompt {empty} is empty: write it, or take it out.")
    schedule = read_schedule({key: story[key] for key in _KEYS if key in story})
    if story.get("switch_frame_indices") is None:
        schedule = _spread(schedule, prompt_s)
    name = next((str(story[key]) for key in _NAMES if isinstance(story.get(key), (str, int))), f"{number:03}")
    return Script.of(name, schedule, [str(key) for key in story if key not in _KEYS + _NAMES])


def _spread(schedule: PromptSchedule, prompt_s: float) -> PromptSchedule:
    """The prompts one after the other, of so many seconds each."""
    segments = [replace(item, start=Time(place * prompt_s, "s")) for place, item in enumerate(schedule.segments)]
    length = Time(len(segments) * prompt_s, "s")
    return PromptSchedule(tuple(segments), length=length, notes=schedule.notes)


def _from_scenes(line: str, number: int) -> Script:
    schedule = from_scene_line(line)
    schedule.check_order()
    return Script.of(f"{number:03}", schedule)
