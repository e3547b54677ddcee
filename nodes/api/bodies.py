"""Read the JSON body of a request, and turn exceptions into answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ...memflow_core.schedule import MOST_CHARACTERS, show
from .. import host

# a schedule of as many characters as the node takes, each as JSON may escape it
SCHEDULE_BYTES = 12 * MOST_CHARACTERS + 1024


class BadBody(ValueError):
    """A body that is not of the form that its route takes, in one sentence; the answer's status is 400."""


def read_json(body: bytes, otherwise: str = "the body is no JSON.") -> Any:
    """Parse a body. Raises BadBody for one that is no JSON, with the sentence `otherwise`, or names a key twice."""
    try:
        return json.loads(body, object_pairs_hook=_each_once)
    except BadBody:
        raise
    except (ValueError, RecursionError):
        raise BadBody(otherwise) from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of a key that stands there twice JSON keeps one value, and which was meant cannot be known."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise BadBody(f"the body has {show(name)} twice in one object: write it once.")
        made[name] = value
    return made


def read_object(body: bytes, otherwise: str) -> dict[str, Any]:
    """Parse a body. Raises BadBody, with the sentence `otherwise`, for one that is no JSON object."""
    content = read_json(body, otherwise)
    if not isinstance(content, dict):
        raise BadBody(otherwise)
    return content


def answer_with(work: Callable[[], dict[str, Any]], statuses: Mapping[type[Exception], int]) -> host.Answer:
    """Status 200 and what `work` returns, or `{"error": sentence}` with the status of what it raised.

    statuses  HTTP status by class of exception, of which the first that fits counts. BadBody has 400 on every route;
              any other exception passes.
    """
    statuses = {BadBody: 400, **statuses}
    try:
        return 200, work()
    except tuple(statuses) as error:
        return next(status for kind, status in statuses.items() if isinstance(error, kind)), {"error": str(error)}
