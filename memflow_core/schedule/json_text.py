"""Strict JSON: no NaN, no Infinity, no repeated keys, and errors that name the line."""

from __future__ import annotations

import json
from typing import Any

from .errors import ScheduleError, require, shorten


def load_json(text: str) -> Any:
    """Parse JSON text into Python values. Raises ScheduleError, with the line where there is one."""
    try:
        return json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except ScheduleError:
        raise
    except json.JSONDecodeError as error:
        raise ScheduleError(
            f"line {error.lineno}: this is no valid JSON ({error.msg}, column {error.colno}): mend it, "
            f"or write the schedule as text, one '10s: prompt' a line."
        ) from None
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
