"""POST /memflow/takes: what earlier runs have made of a story's prompts, with whatever seeds.

Body    as that of /memflow/plan, with `"graph"` and `"node"`, and `"action"`:
        `"list"` (or none): all takes.
        `"film"` with `"take"`, the id of one: a file of it, to be played.
        `"delete"` with `"take"`: delete it. Without: delete all that the schedule does not play now.
        `"delete story"`: delete all that is kept of the story, whatever its schedule and its seeds.
Answer  `{"takes": [{"id", "segment", "seed", "prompt", "start_s", "end_s", "made_s", "chosen", "playable", "bytes",
        "pictures": [data URL, ...]}, ...]}`, segments counted from 0, seeds as texts; with `"freed"` bytes after
        deleting. For a film `{"filename", "subfolder", "type"}`, as ComfyUI's own /view takes them.
        `{"error": "one sentence"}` with status 200 where the story cannot be run, or its graph does not tell which it
        is; 404: there is no such take; 400, 413 and 415 as for other routes.

To choose a take is to write `[seed N]` into the schedule's text.
"""

from __future__ import annotations

from typing import Any

from ...memflow_core.schedule import show
from .. import host
from ..run import (
    GraphStory,
    NoSuchTakeError,
    TakeFilms,
    delete_story,
    delete_takes,
    graph_story,
    take_by_id,
    takes_json,
)
from .bodies import SCHEDULE_BYTES, BadBody, answer_with, read_object
from .plan import placed, read_plan

PATH = "/memflow/takes"
ACTIONS = ("list", "film", "delete", "delete story")
STATUSES = {NoSuchTakeError: 404, ValueError: 200}
USAGE = "the body must be a JSON object as for /memflow/plan, with graph and node."


def add_routes() -> None:
    """Serve POST at PATH."""
    host.add_post_route(PATH, answer, most_bytes=SCHEDULE_BYTES, in_thread=True, json_only=True)


def answer(body: bytes) -> host.Answer:
    """Status and JSON for a request's body."""
    return answer_with(lambda: _act(read_object(body, USAGE)), STATUSES)


def _act(asked: dict[str, Any]) -> dict[str, Any]:
    action, take = asked.pop("action", "list"), asked.pop("take", None)
    if action not in ACTIONS:
        raise BadBody(f"action is {show(action)}, but must be one of {', '.join(ACTIONS)}.")
    if not isinstance(take, str) if action == "film" else not isinstance(take, (str, type(None))):
        raise BadBody(f"take is {show(take)}, but must be the id of a take, as the list has it.")
    story = _story(asked)
    if action == "film":
        file = TakeFilms(story).file(take_by_id(story, take))
        return {"filename": file.path.name, "subfolder": file.subfolder, "type": file.folder}
    if action == "list":
        return {"takes": takes_json(story)}
    freed = delete_story(story) if action == "delete story" else delete_takes(story, take)
    return {"takes": takes_json(story), "freed": freed}


def _story(asked: dict[str, Any]) -> GraphStory:
    """The story that a body describes. Raises ValueError where it cannot be run, or the graph does not tell."""
    values = read_plan(asked)
    if values["graph"] is None:
        raise BadBody(USAGE)
    story = graph_story(values["graph"], values["node"], *placed(values))
    if story is None:
        raise ValueError(
            "what is kept of this story is not known before it runs: its graph has a state, a schedule or a value that "
            "other nodes make, or nothing is kept (keep_moments_gb is 0)."
        )
    return story
