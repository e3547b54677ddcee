"""POST /memflow/schedule: a schedule in any form that the nodes read, told back as segments and as text.

Body    `{"text": "..."}` in UTF-8, at most MAX_BYTES. The text may be anything that `schedule_formats` reads.
Answer  `{"segments": [{"time": "10s", "prompt": "...", "switch": "cut", "seed": 7}, ...], "global_prompt": "...",
        "length": "60s" or null, "text": "..."}`, with `"pins"` where there are any. `text` is the same schedule in the
        text form. Without `text` the answer is the object form of `schedule_formats`, which the node takes, too.
        `{"error": "one sentence"}` with status 200 where the text is no schedule: that is what was asked. With status
        400 or 413 where the body is not as above.

Nothing is stored, and no file is read.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ...memflow_core.schedule import ScheduleError, Segment, Time, format_time, read_schedule, to_text

PATH = "/memflow/schedule"
MAX_BYTES = 256 * 1024


def answer(body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON for a request's body."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    text = asked.get("text") if isinstance(asked, dict) else None
    if not isinstance(text, str):
        return 400, {"error": 'the body must be JSON of the form {"text": "0s: a prompt"}.'}
    try:
        return 200, describe(text)
    except ScheduleError as error:
        return 200, {"error": str(error)}


def describe(text: str) -> dict[str, Any]:
    """What a schedule says, fit for JSON. Raises ScheduleError."""
    schedule = read_schedule(text)
    said = {
        "segments": [_segment(segment) for segment in schedule.segments],
        "global_prompt": schedule.global_prompt,
        "length": None if schedule.length is None else format_time(schedule.length),
        "text": to_text(schedule),
    }
    pins = [
        _without_nothing({"time": _time(pin["time"]), "name": pin["name"]}) for pin in asdict(schedule).get("pins", ())
    ]
    return said | ({"pins": pins} if pins else {})


def _segment(segment: Segment) -> dict[str, Any]:
    said = asdict(segment)
    blend = said.pop("blend", None)
    said = {"time": _time(said.pop("start")), **said}
    if blend:
        said["blend"] = {blend["length"]["unit"]: blend["length"]["value"], "path": blend["path"]}
    return _without_nothing(said)


def _time(time: dict[str, Any]) -> str:
    return format_time(Time(**time))


def _without_nothing(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value not in (None, (), [])}
