"""Read a schedule in any form: `read_schedule` finds the form, and one module reads each.

text            `text`: one `10s: prompt` a line, or lines with times in other shapes.
list, object    `json_form`: for programs.
frames          `frames_form`: `"0": "...", "24": "..."`, of FizzNodes, AnimateDiff-Evolved, Deforum; `prompt_map`.
MemFlow JSONL   `memflow_jsonl`: the published program's stories, one a line.
Scope timeline  `scope`: the timeline of Daydream Scope.
subtitles       `subtitles`: SRT and WebVTT.
tables          `table_form`: CSV, and the tables of chat programs.
scene lines     `scene_lines`: Echo-Forcing's, `a cat [10s#] | a dog [5s]`.
records         `records`: lists of objects with other programs' keys, `{"start": "0s", "end": "3s", "text": "..."}`.

Lists, objects and timelines may come as Python values, as JSON text, or as text that is nearly JSON, see `literal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ScheduleError, require, show
from .fences import Bare, starts_structure, unfence
from .foreign import with_shots
from .frames_form import from_frames_object, from_frames_text, from_prompt_map, is_frames_object, is_frames_text
from .json_form import from_list, from_object, is_list_form
from .json_text import load_json
from .limits import check_count, check_text_size
from .loose_line import is_timed
from .memflow_jsonl import add_braces, check_strings, choose_story, from_memflow, split_stories
from .notes import lines_left_out, note
from .records import from_records, from_wrapped_records, is_records
from .scene_lines import choose_scene_line, from_scene_line, split_scene_lines
from .schedule import PromptSchedule, Segment
from .scope import from_timeline
from .subtitles import read_subtitles
from .table_form import columns_of, read_table
from .text import from_text
from .time import Time


def read_schedule(source: object, line: int | None = None) -> PromptSchedule:
    """Read a schedule in any form that this module lists.

    source  a text, a list, an object (Mapping), or a PromptSchedule, which is returned itself.
    line    which story of a MemFlow JSONL, or of scene lines, with several, from 1.

    Raises ScheduleError in one sentence, with the line or entry and the fix; also for a schedule that is empty, does
    not start at 0, whose times do not rise, or that is larger than `limits` allows.
    """
    if isinstance(source, PromptSchedule):
        schedule = source
    else:
        schedule = _read_text(_checked(source), line) if isinstance(source, str) else _read_value(source)
        check_count("prompts", len(schedule.segments))
        check_count("pins", len(schedule.pins))
    schedule.check_order()
    return schedule


def read_story(text: str, story: int = 1) -> PromptSchedule:
    """Read a text, and of a MemFlow JSONL or scene lines with several stories the one of this number, from 1.

    Raises ScheduleError as `read_schedule` does, and for a number that no story has.
    """
    count = len(split_scene_lines(_checked(text)) or split_stories(_checked(text).strip()))
    if count > 1:
        require(
            1 <= story <= count, f"story is {show(story)}, but the text holds {count} stories: choose 1 to {count}."
        )
        return read_schedule(text, story).with_notes([note("story {0} of {1}", story, count)])
    require(story == 1, f"story is {show(story)}, but the text holds one schedule: set story to 1.")
    return read_schedule(text)


def _checked(text: str) -> str:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    check_text_size(text)
    return text


# -- text -------------------------------------------------------------------------------------------------------------


def _read_text(text: str, line: int | None) -> PromptSchedule:
    if scenes := split_scene_lines(text):
        return from_scene_line(choose_scene_line(scenes, line))
    bare = add_braces(text.strip())
    stories = split_stories(bare)
    if line is not None or len(stories) > 1:
        return _read_value(load_json(choose_story(stories, line)))
    if is_frames_text(bare):
        return from_frames_text(bare)
    if bare.startswith(("{", "[")) and starts_structure(bare):
        return _read_structure(bare)
    return _read_fenced(unfence(text))


def _read_fenced(found: Bare) -> PromptSchedule:
    """Read the text that stood between fences, or behind words that introduce it."""
    text = add_braces(found.text.strip())
    if found.left and split_stories(text)[1:]:
        return _read_text(text, None)
    if is_frames_text(text):
        schedule = from_frames_text(text)
    elif text.startswith(("{", "[", "(")) and (text[0] != "(" or text.endswith(")")) and starts_structure(text):
        schedule = _read_structure(text)
    else:
        schedule = read_subtitles(found.text) or read_table(found.text) or _read_lines(found.text)
    return schedule.with_notes(lines_left_out(found.left))


def _read_lines(text: str) -> PromptSchedule:
    """Read the text form. Raises ScheduleError, also for a first time that is not 0, with what it may mean."""
    schedule = from_text(text)
    if not schedule.segments and text.strip():
        raise ScheduleError(
            "the schedule is empty: all its lines are headers, comments or left out, so write a prompt, or put the "
            "whole text in double quotes if it is one."
        )
    first = schedule.segments[0].start if schedule.segments else Time(0, "s")
    if first.value:
        single = "" if len(schedule.segments) > 1 else "; a whole text in double quotes is one prompt"
        raise ScheduleError(
            f"the first prompt is asked for at {first}, but the first must start at 0: set it to 0 and write the start "
            f"of each prompt, not how long it lasts{single}."
        )
    return schedule


def _read_structure(text: str) -> PromptSchedule:
    """Read JSON, or what is nearly JSON; entries one a line are a list."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and all(line.startswith("{") and line.rstrip(" ,").endswith("}") for line in lines):
        return _read_value([load_json(line.rstrip(" ,")) for line in lines])
    value = load_json(text)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return _read_strings(value)
    return _read_value(value)


def _read_strings(prompts: Sequence[str]) -> PromptSchedule:
    """Read a list of prompts, which share the story evenly, or of lines with times."""
    lines = [prompt for prompt in prompts if prompt.strip()]
    if len(lines) > 1 and all(map(is_timed, lines)):
        return from_text("\n".join(prompts))
    check_strings(prompts)
    count = len(prompts)
    segments = (Segment(Time(100 * at / count, "percent"), text) for at, text in enumerate(prompts))
    return with_shots(PromptSchedule(tuple(segments)))


# -- values -----------------------------------------------------------------------------------------------------------


def _read_value(source: object) -> PromptSchedule:
    if isinstance(source, (list, tuple)):
        if len(source) > 1 and all(isinstance(item, str) for item in source):
            return _read_strings(source)
        return from_records(source) if not is_list_form(source) and is_records(source) else from_list(source)
    if not isinstance(source, Mapping):
        raise ScheduleError(f"a schedule is text, a list or an object, not {show(source)}.")
    if "prompt_map" in source:
        return from_prompt_map(source)
    if "prompts" in source:
        return _read_prompts(source)
    if "segments" in source and (is_list_form(source["segments"]) or not is_records(source["segments"])):
        return from_object(source)
    if is_frames_object(source):
        return from_frames_object(source)
    wrapped = from_wrapped_records(source)
    if wrapped is not None:
        return wrapped
    raise ScheduleError(
        f"this object has the keys {show(list(source))}, but a schedule has 'segments', 'prompts', or video frames as "
        f"keys."
    )


def _read_prompts(source: Mapping[str, Any]) -> PromptSchedule:
    """Read what has the key `prompts`: a Scope timeline, a MemFlow story, or video frames as keys."""
    prompts = source["prompts"]
    if isinstance(prompts, Mapping) and is_frames_object(prompts):
        others = {key: value for key, value in source.items() if key != "prompts"}
        return from_prompt_map({"prompt_map": prompts, **others})
    if not isinstance(prompts, (list, tuple)) or not prompts:
        raise ScheduleError(f"'prompts' is {show(prompts)}, but must be a list of at least one prompt.")
    timely = [key for key in source if key != "switch_frame_indices" and columns_of(["prompt", str(key).rstrip("s")])]
    if timely and not isinstance(prompts[0], Mapping):
        raise ScheduleError(
            f"{show(timely[0])} stands beside 'prompts', but times of a list are written within it: write each as "
            f'["3s", "a prompt"], or switch_frame_indices.'
        )
    if not isinstance(prompts[0], Mapping):
        return with_shots(from_memflow(source))
    wrapped = None if "startTime" in prompts[0] else from_wrapped_records(source)
    return from_timeline(prompts) if wrapped is None else wrapped
