"""Checks of values that settings share."""

from __future__ import annotations


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def require_int(name: str, value: object, low: int, high: int | None = None) -> None:
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high)
    require(ok, f"{name} is {value!r}, but must be {allowed}.")
