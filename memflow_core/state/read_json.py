"""Parse JSON from strangers: bounded depth and numbers, and no values that JSON does not have."""

from __future__ import annotations

import json
from typing import Any

MOST_DEPTH = 32
MOST_DIGITS = 40


def parse_json(text: str) -> Any:
    """Parse a text. Raises ValueError where it is no JSON, is nested deeper than 32, or holds NaN or huge numbers."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_whole, parse_float=_fraction)
    except RecursionError as error:
        raise ValueError(f"its JSON is nested more than {MOST_DEPTH} deep") from error
    _check_depth(value)
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"its JSON holds {name}")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"its JSON holds a number of {len(digits)} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"its JSON holds {digits[:MOST_DIGITS]}, which is no number")
    return number


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise ValueError(f"its JSON is nested more than {MOST_DEPTH} deep")


def _inside(value: Any) -> list[Any]:
    """Lists and dicts within a list or a dict."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in inner if isinstance(item, (dict, list))]
