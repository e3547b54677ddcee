"""JSON: no NaN, no Infinity, no repeated keys, errors with the line; else what is nearly JSON, see `literal`."""

from __future__ import annotations

import json
from typing import Any

from .errors import ScheduleError, require, shorten
from .literal import read_literal


def load_json(text: str) -> Any:
    """Parse JSON text, or a literal of Python, into Python values. Raises ScheduleError, mostly with the line."""
    try:
        return json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except ScheduleError:
        raise
    except json.JSONDecodeError:
        return read_literal(text)
    except RecursionError:
        raise ScheduleError("this JSON is nested too deeply to be a schedule.") from None
    except ValueError:
        raise ScheduleError("this JSON holds a number of too many digits: mend it.") from None


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        require(key not in found, f"key {shorten(key)} is given twice in one JSON object: keep one.")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ScheduleError(f"this JSON holds {name}, but every number must be finite.")
