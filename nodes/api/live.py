"""GET and POST /memflow/live/{prompt_id}/{node_id}: look at a run that is under way, and change it. GET /memflow/runs.

runs    `{"runs": [...]}`: every run that is under way, with all that its page has been told: what `RunEvents.now`
        returns, and `state`, as below. For a page that was opened, or opened again, while they run.
GET     the state of the run, as `LiveControl.state` has it.
POST    one change, which takes effect between two chunks:
        `{"prompt": "a cat runs by", "switch": "cut", "at": "12s"}`, where switch and at may be left out;
        `{"action": "finish"}`, `{"action": "pause"}` or `{"action": "resume"}`.
Answer  `{"state": {...}}`, and `"number"` for a prompt, which is its number in the state; or `{"error": sentence}` with
        status 400 (not understood), 404 (no such run), 409 (not possible in this run), 413 (more than MAX_BYTES) or
        415 (the content type is not that of JSON).

A request can change what a run under way shows, and nothing else: no file is read or written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...memflow_core.config import SWITCHES
from ...memflow_core.play import LiveConflict, LiveControl
from ...memflow_core.schedule import ScheduleError, Segment, Time, parse_time, show
from .. import host
from ..run import RUNNING
from .bodies import answer_with, read_json

RUNS_PATH = "/memflow/runs"
PATH = "/memflow/live/{prompt_id}/{node_id}"
MAX_BYTES = 64 * 1024
MOST_CHARACTERS = 8000
ACTIONS: dict[str, Callable[[LiveControl], None]] = {
    "finish": LiveControl.finish,
    "pause": LiveControl.pause,
    "resume": LiveControl.resume,
}
USAGE = 'write {"prompt": text} or {"action": "finish"}, "pause" or "resume".'


class NoSuchRun(LookupError):
    """No run is under way in the node of a queued prompt that the path names."""


STATUSES = {NoSuchRun: 404, ScheduleError: 400, LiveConflict: 409}


def add_routes() -> None:
    """Serve GET at RUNS_PATH, and GET and POST at PATH."""
    host.add_get_route(RUNS_PATH, answer_runs)
    host.add_get_route(PATH, answer_get)
    # quick, and on the event loop: requests take effect in the order in which they come in
    host.add_post_route(PATH, answer_post, most_bytes=MAX_BYTES, in_thread=False, json_only=True)


def answer_runs() -> host.Answer:
    """Status and JSON for a look at all runs."""
    return answer_with(lambda: {"runs": RUNNING.now()}, STATUSES)


def answer_get(prompt_id: str, node_id: str) -> host.Answer:
    """Status and JSON for a look at a run."""
    return answer_with(lambda: {"state": _find(prompt_id, node_id).state()}, STATUSES)


def answer_post(prompt_id: str, node_id: str, body: bytes) -> host.Answer:
    """Status and JSON for a change of a run."""

    def change() -> dict[str, Any]:
        asked = read_json(body)
        control = _find(prompt_id, node_id)
        return {**_apply(asked, control), "state": control.state()}

    return answer_with(change, STATUSES)


def _find(prompt_id: str, node_id: str) -> LiveControl:
    control = RUNNING.find(prompt_id, node_id)
    if control is None:
        raise NoSuchRun(f"no story runs in node {show(node_id)} of prompt {show(prompt_id)}: it may have ended.")
    return control


def _apply(asked: Any, control: LiveControl) -> dict[str, Any]:
    """Make the change that a body's JSON asks for; returns what the answer holds beside the state.

    Raises ScheduleError for JSON that asks for no change, and LiveConflict.
    """
    if not isinstance(asked, dict) or not ({"prompt", "action"} & asked.keys()):
        raise ScheduleError(f"the body is {show(asked)}, which asks for nothing: {USAGE}")
    allowed = {"action"} if "action" in asked else {"prompt", "switch", "at"}
    if unknown := asked.keys() - allowed:
        raise ScheduleError(f"the body has {show(sorted(unknown))}, which means nothing here: {USAGE}")
    if "prompt" in asked:
        return {"number": control.ask(_prompt(asked["prompt"]), _switch(asked), _time(asked.get("at")))}
    action = asked["action"]
    if not isinstance(action, str) or action not in ACTIONS:
        raise ScheduleError(f"action is {show(action)}, but must be one of {', '.join(ACTIONS)}.")
    ACTIONS[action](control)
    return {}


def _prompt(prompt: Any) -> str:
    # a Segment checks what a prompt may be
    text = Segment(Time(0, "s"), prompt).prompt.strip()
    if not text or len(text) > MOST_CHARACTERS:
        raise ScheduleError(f"the prompt has {len(text)} characters, but must have 1 to {MOST_CHARACTERS}.")
    return text


def _switch(asked: dict[str, Any]) -> str:
    switch = asked.get("switch", SWITCHES[0])
    if not isinstance(switch, str) or switch not in SWITCHES:
        raise ScheduleError(f"switch is {show(switch)}, but must be one of {', '.join(SWITCHES)}.")
    return switch


def _time(at: Any) -> Time | None:
    """A number counts seconds; text is a time as in a schedule."""
    if at is None:
        return None
    if isinstance(at, str) and len(at) <= 40:
        time = parse_time(at)
    elif isinstance(at, (int, float)):
        time = Time(at, "s")
    else:
        raise ScheduleError(f"at is {show(at)}, but must be seconds, or a time such as '12s'.")
    if time.unit == "percent":
        raise ScheduleError(f"at is {show(at)}, but a share of a story that may still change is no time: use seconds.")
    return time
