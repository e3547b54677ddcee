"""GET and POST /memflow/moments: how much of stories is kept, and delete it.

GET     `{"moments", "files", "bytes", "budget"}`: exact moments, all files, their bytes, and the bytes that a node with
        its budget at -1 may use.
POST    `{"action": "delete"}` deletes all of them. Answer: the same, with `"freed"` bytes; or `{"error": sentence}`
        with status 400 (not understood), 413 (more than MAX_BYTES) or 415 (the content type is not that of JSON).

A story that runs meanwhile goes on, and keeps what it makes from then on.
"""

from __future__ import annotations

from typing import Any

from ...memflow_core.keep import Library
from ...memflow_core.schedule import ScheduleError, show
from .. import host
from .bodies import answer_with, read_json

PATH = "/memflow/moments"
MAX_BYTES = 1024
STATUSES = {ScheduleError: 400}


def add_routes() -> None:
    """Serve GET and POST at PATH."""
    host.add_get_route(PATH, answer_get)
    host.add_post_route(PATH, answer_post, most_bytes=MAX_BYTES, in_thread=True, json_only=True)


def answer_get() -> host.Answer:
    """Status and JSON for a look at what is kept."""
    return answer_with(_found, STATUSES)


def answer_post(body: bytes) -> host.Answer:
    """Status and JSON for deleting what is kept."""

    def delete() -> dict[str, Any]:
        asked = read_json(body)
        if asked != {"action": "delete"}:
            raise ScheduleError(f'the body is {show(asked)}, which asks for nothing: write {{"action": "delete"}}.')
        freed = _library().remove_all()
        return {**_found(), "freed": freed}

    return answer_with(delete, STATUSES)


def _library() -> Library:
    return Library(host.moments_folder(), host.kept_bytes(-1.0))


def _found() -> dict[str, Any]:
    library = _library()
    files = library.files()
    moments = sum(file.kind == "moment" for file in files)
    size = sum(file.bytes for file in files)
    return {"moments": moments, "files": len(files), "bytes": size, "budget": library.budget}
