"""Write a schedule in the text form, with what reading it left out as comments."""

from __future__ import annotations

import json

from .entries import is_plain_prompt
from .foreign import begins_shot
from .schedule import Blend, PromptSchedule, Segment
from .time import format_time


def to_text(schedule: PromptSchedule, notes: bool = False) -> str:
    """Write a schedule in the text form, from which `from_text` reads an equal one.

    notes  whether the schedule's notes stand above it as comments.
    """
    lines = [f"# {told}" for told in schedule.notes] if notes else []
    if schedule.global_prompt:
        lines.append(f"global: {_quote(schedule.global_prompt)}")
    if schedule.length is not None:
        lines.append(f"length: {format_time(schedule.length)}")
    for pin in schedule.pins:
        header = "pin" if pin.name is None else f"pin {pin.name}"
        lines.append(f"{header}: {format_time(pin.time)}")
    before = None
    for segment in schedule.segments:
        # a number without a unit is told, and the same prompt again without an option only holds the one before it
        unit = "f" if segment.start.unit == "frames" and segment.start.value else ""
        # the same prompt again, or what begins a shot in another program
        plain = segment.prompt == before or (before is not None and begins_shot(segment.prompt))
        written = _options_of(segment) or (["recache"] if plain else [])
        options = "".join(f" [{option}]" for option in written)
        lines.append(f"{format_time(segment.start)}{unit}{options}: {_quote(segment.prompt)}")
        before = segment.prompt
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
    return [*options, *segment.recall, *map(str, segment.loras)]


def _quote(prompt: str) -> str:
    """The prompt as it stands behind a colon, in double quotes where they are needed."""
    plain = prompt and prompt == prompt.strip() and prompt[0] not in '"[' and "\n" not in prompt and "\r" not in prompt
    return prompt if plain and is_plain_prompt(prompt) else json.dumps(prompt, ensure_ascii=False)
