"""POST /memflow/schedule: read a schedule in any form that the nodes take, and answer with segments and text.

Body    `{"text": "..."}` in UTF-8, at most SCHEDULE_BYTES. The text may be anything that the core's `read_schedule`
        reads.
        `"story": 2` chooses one of a MemFlow JSONL with several; 1 may be left out.
Answer  `{"segments": [{"time": "10s", "prompt": "...", "switch": "cut", "seed": 7}, ...], "global_prompt": "...",
        "length": "60s" or null, "text": "..."}`, with `"pins"` where there are any. `text` is the same schedule in the
        text form. Where something was left out, or taken in another way than it is written, `"notes"` tells it in
        sentences, and `"said"` has these as texts with {0}, {1} ... and what these stand for. Without `text` and
        `said` the answer is the object form of a schedule, which the node takes, too.
        `{"error": "one sentence"}` with status 200 where the text is no schedule: that is what was asked. With status
        400 or 413 where the body is not as above.

Nothing is stored, and no file is read.
"""

from __future__ import annotations

from typing import Any

from ...memflow_core.schedule import ScheduleError, Segment, format_time, read_story, show, to_text
from .. import host
from ..run import note_message
from .bodies import SCHEDULE_BYTES, BadBody, answer_with, read_object

PATH = "/memflow/schedule"
USAGE = 'the body must be JSON of the form {"text": "0s: a prompt"}.'


def add_routes() -> None:
    """Serve POST at PATH."""
    host.add_post_route(PATH, answer, most_bytes=SCHEDULE_BYTES, in_thread=True)


def answer(body: bytes) -> host.Answer:
    """Status and JSON for a request's body."""
    return answer_with(lambda: describe(*_read_body(body)), {ScheduleError: 200})


def describe(text: str, story: int = 1) -> dict[str, Any]:
    """A schedule's text as JSON. Raises ScheduleError for a text that is no schedule."""
    schedule = read_story(text, story)
    described = {
        "segments": [_segment(segment) for segment in schedule.segments],
        "global_prompt": schedule.global_prompt,
        "length": None if schedule.length is None else format_time(schedule.length),
        "text": to_text(schedule),
    }
    pins = [_without_empty({"time": format_time(pin.time), "name": pin.name}) for pin in schedule.pins]
    notes = [str(told) for told in schedule.notes]
    said = [note_message(told).to_json() for told in schedule.notes]
    return {**described, **({"pins": pins} if pins else {}), **({"notes": notes, "said": said} if notes else {})}


def _read_body(body: bytes) -> tuple[str, int]:
    asked = read_object(body, USAGE)
    if unknown := [name for name in asked if name not in ("text", "story")]:
        raise BadBody(f'{show(unknown[0])} means nothing here: the body is {{"text": ..., "story": ...}}.')
    text, story = asked.get("text"), asked.get("story", 1)
    if not isinstance(text, str):
        raise BadBody(USAGE)
    if not isinstance(story, int) or isinstance(story, bool):
        raise BadBody(f"story is {show(story)}, but must be a whole number from 1.")
    return text, story


def _segment(segment: Segment) -> dict[str, Any]:
    described: dict[str, Any] = {
        "time": format_time(segment.start),
        "prompt": segment.prompt,
        "switch": segment.switch,
        "seed": segment.seed,
        "recall": segment.recall,
        "loras": [[lora.name, lora.strength] for lora in segment.loras],
    }
    if segment.blend is not None:
        length = segment.blend.length
        described["blend"] = {length.unit: length.value, "path": segment.blend.path}
    return _without_empty(described)


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, (), [])}
