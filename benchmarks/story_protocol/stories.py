"""Lists of stories: JSONL or a JSON list, of prompts by whatever keys its authors chose, placed on chunks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memflow_core.schedule import ChunkGrid, Plan, PromptSchedule, Time, read_schedule

PROMPTS = "prompts"
FAR = 100_000  # chunks, beyond the last switch of any list


@dataclass(frozen=True)
class ProtocolStory:
    """A story whose subject is met in one segment and comes back in a later one.

    line    of the list, from 1.
    key     by which results know it: digest of all that follows.
    plan    prompts on chunks.
    meet    number of the segment in which the subject is first seen, from 0.
    back    of the one in which it comes back.
    absent  segments that do not show it.
    """

    line: int
    key: str
    plan: Plan
    meet: int
    back: int
    absent: tuple[int, ...]

    @property
    def prompts(self) -> list[str]:
        """One for each segment."""
        return [segment.prompt for segment in self.plan.segments]


def read_stories(
    text: str,
    *,
    keys: Sequence[str] = (PROMPTS,),
    chunks: int = 13,
    grid: ChunkGrid | None = None,
    absent: str = "between",
) -> list[ProtocolStory]:
    """Read a list of stories, a JSON value on each line or all of them in one JSON list.

    A story is a list of prompts, or an object: with the key `prompts`, and `switch_frame_indices` if there are any, as
    MemFlow's own; or with one key for each prompt. It may say which prompts, counted from 1, first show its subject
    (`meet`, 1), show it again (`back`, the last), and do not show it (`absent`, a list).

    keys    the key of the list of prompts, or those of the single prompts.
    chunks  of each prompt, and of the last one where there are switches.
    grid    latent frames of a chunk and frame rate.
    absent  what does not show the subject where a story does not say it: all prompts `between`, or `none`.

    Raises ValueError, with the line, for what is no such story.
    """
    found = []
    for line, value in _values(text):
        try:
            found.append(_story(line, value, keys, chunks, grid or ChunkGrid(), absent))
        except ValueError as error:
            raise ValueError(f"story {line} of the list: {error}") from None
    if not found:
        raise ValueError("the list of stories is empty: give a JSON value on each line.")
    return found


def _values(text: str) -> list[tuple[int, Any]]:
    """(line, value) of each story; of a JSON list the place in it."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = None
    if isinstance(whole, list) and all(isinstance(value, (dict, list)) for value in whole):
        return list(enumerate(whole, 1))
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} of the list is no JSON: {error}.") from None
    return found


def _story(line: int, value: Any, keys: Sequence[str], chunks: int, grid: ChunkGrid, absent: str) -> ProtocolStory:
    said = value if isinstance(value, dict) else {}
    plan = _placed(_schedule(value, keys), chunks, grid)
    count = len(plan.segments)
    if count < 2:
        raise ValueError(f"it has {count} prompt, but a return needs at least 2.")
    meet, back = _number(said, "meet", 1, count), _number(said, "back", count, count)
    if not meet < back:
        raise ValueError(f"meet is {meet + 1} and back is {back + 1}, but a subject is met before it comes back.")
    shown = said.get("absent")
    if shown is None:
        away = tuple(range(meet + 1, back)) if absent == "between" else ()
    elif isinstance(shown, list):
        away = tuple(_number({"absent": number}, "absent", 0, count) for number in shown)
    else:
        raise ValueError(f"absent is {shown!r}, but must be a list of prompts, counted from 1.")
    if any(number >= back or number == meet for number in away):
        raise ValueError(f"absent is {shown!r}, but must name prompts before the return, and not the first meeting.")
    chunk_starts = [segment.start_chunk for segment in plan.segments]
    told = json.dumps([[s.prompt for s in plan.segments], chunk_starts, plan.chunks, meet, back, away])
    return ProtocolStory(line, hashlib.sha256(told.encode()).hexdigest()[:16], plan, meet, back, away)


def _schedule(value: Any, keys: Sequence[str]) -> PromptSchedule:
    if isinstance(value, dict) and len(keys) == 1:
        if not isinstance(value.get(keys[0]), list):
            raise ValueError(f"it has no list of prompts by the key {keys[0]!r}, but the keys {', '.join(value)}.")
        switches = value.get("switch_frame_indices")
        value = {PROMPTS: value[keys[0]]} | ({} if switches is None else {"switch_frame_indices": switches})
    elif isinstance(value, dict):
        if missing := [key for key in keys if not isinstance(value.get(key), str)]:
            raise ValueError(f"it has no prompt by the key {missing[0]!r}, but the keys {', '.join(value)}.")
        value = {PROMPTS: [value[key] for key in keys]}
    elif not isinstance(value, list):
        raise ValueError(f"it is {type(value).__name__}, but must be a list of prompts, or an object.")
    if isinstance(value, list):
        value = {PROMPTS: value}
    return read_schedule(json.dumps(value))


def _placed(schedule: PromptSchedule, chunks: int, grid: ChunkGrid) -> Plan:
    if all(segment.start.unit == "percent" for segment in schedule.segments):
        return schedule.place(grid, Time(chunks * len(schedule.segments), "chunks"))
    last = schedule.place(grid, Time(FAR, "chunks")).segments[-1].start_chunk
    return schedule.place(grid, Time(last + chunks, "chunks"))


def _number(said: dict[str, Any], name: str, usual: int, count: int) -> int:
    value = said.get(name, usual)
    if type(value) is not int or not 1 <= value <= count:
        raise ValueError(f"{name} is {value!r}, but must be the number of a prompt, from 1 to {count}.")
    return value - 1
