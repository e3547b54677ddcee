"""Small checks of what a state file holds; each raises ValueError with what is wrong, as the end of a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

AT_ONCE = 2**24  # numbers looked at together: keys and values are gigabytes
NAN_BITS = 0x7F  # of a float8 e4m3 without its sign
FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@contextmanager
def named_problems() -> Iterator[None]:
    """Turn the exceptions of code that trusts a file into a ValueError that says what is wrong with the file."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"it lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, IndexError, OverflowError) as error:
        # what these say speaks of code, not of the file
        raise ValueError("a value in it is of the wrong kind") from error


def need(condition: bool, problem: str) -> None:
    """Raise ValueError with a problem unless a condition holds."""
    if not condition:
        raise ValueError(problem)


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value is a whole number from low to high."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: object, low: float, high: float) -> bool:
    """Whether a value is a number from low to high, neither true nor false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def lists_of(values: object, length: int, problem: str) -> list[Any]:
    """A list of lists of one length."""
    if not isinstance(values, list) or not all(isinstance(row, list) and len(row) == length for row in values):
        raise ValueError(problem)
    return values


def check_finite(name: str, tensor: Tensor, *, bits: bool = False) -> None:
    """Raise ValueError if a tensor holds NaN or infinity. bits: its bytes are float8 e4m3, which has no infinity."""
    for part in tensor.flatten().split(AT_ONCE) if tensor.dtype in FLOATS or bits else ():
        proper = (part & NAN_BITS).ne(NAN_BITS).all() if bits else torch.isfinite(part).all()
        need(bool(proper), f"{name!r} holds NaN or infinity")
