"""Read a schedule in any form: `read_schedule` finds the form, and one module reads each.

text            `text`: one `10s: prompt` a line.
list, object    `json_form`: for programs.
frames          `frames_form`: `"0": "...", "24": "..."`, of FizzNodes and AnimateDiff-Evolved.
MemFlow JSONL   `memflow_jsonl`: the published program's stories, one a line.
Scope timeline  `scope`: the timeline of Daydream Scope.

All but text may come as Python values or as JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import ScheduleError, show
from .frames_form import from_frames_object, from_frames_text, is_frames_object, is_frames_text
from .json_form import from_list, from_object
from .json_text import load_json
from .memflow_jsonl import add_braces, choose_story, from_memflow, split_stories
from .schedule import PromptSchedule
from .scope import from_timeline
from .text import from_text

_JSON_START = re.compile(r'\{\s*["}]|\[\s*[\[{"\]]')


def read_schedule(source: object, line: int | None = None) -> PromptSchedule:
    """Read a schedule in any form that this module lists.

    source  a text, a list, an object (Mapping), or a PromptSchedule, which is returned itself.
    line    which story of a MemFlow JSONL with several, from 1.

    Raises ScheduleError in one sentence, with the line or entry and the fix; also for a schedule that is empty, does
    not start at 0, or whose times do not rise.
    """
    if isinstance(source, PromptSchedule):
        schedule = source
    elif isinstance(source, str):
        schedule = _read_text(source.removeprefix("\ufeff").strip(), line)
    else:
        schedule = _read_value(source)
    schedule.check_order()
    return schedule


def _read_text(text: str, line: int | None) -> PromptSchedule:
    text = add_braces(text)
    stories = split_stories(text)
    if line is not None or len(stories) > 1:
        return _read_value(load_json(choose_story(stories, line)))
    if is_frames_text(text):
        return from_frames_text(text)
    if _JSON_START.match(text):
        return _read_value(load_json(text))
    return from_text(text)


def _read_value(source: object) -> PromptSchedule:
    if isinstance(source, (list, tuple)):
        return from_list(source)
    if not isinstance(source, Mapping):
        raise ScheduleError(f"a schedule is text, a list or an object, not {show(source)}.")
    if "prompts" in source:
        return _read_prompts(source)
    if "segments" in source:
        return from_object(source)
    if is_frames_object(source):
        return from_frames_object(source)
    raise ScheduleError(
        f"this object has the keys {show(list(source))}, but a schedule has 'segments', 'prompts', or video frames as "
        f"keys."
    )


def _read_prompts(source: Mapping[str, Any]) -> PromptSchedule:
    """Read what has the key `prompts`: a Scope timeline, whose prompts are objects, or a MemFlow story."""
    prompts = source["prompts"]
    if not isinstance(prompts, (list, tuple)) or not prompts:
        raise ScheduleError(f"'prompts' is {show(prompts)}, but must be a list of at least one prompt.")
    return from_timeline(prompts) if isinstance(prompts[0], Mapping) else from_memflow(source)
