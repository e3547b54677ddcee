"""One malformed input, and values that fit nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any


@dataclass(frozen=True)
class Case:
    """A malformed input.

    name   what is wrong with it.
    value  a file's path, or the value itself.
    """

    name: str
    value: Any


STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    7.5,
    -0.0,
    1e308,
    10**12,
    2**63,
    2**64,
    -(10**30),
    float("nan"),
    float("inf"),
    "",
    "x",
    "a\0b",
    "\ud800",
    "9" * 5000,
    [],
    {},
    [[]],
    [None],
    [1, 2, 3],
    ["a", "b", "c"],
    {"a": 1},
    [[1, 2], [3]],
    list(range(2000)),
)


def strange(random: Random) -> Any:
    """A value that fits few places."""
    return random.choice(STRANGE)


def shown(value: Any) -> str:
    """A value, short."""
    return repr(value)[:40]


def flipped(content: bytes, bit: int) -> bytes:
    """The same bytes with one bit turned over."""
    place, shift = divmod(bit, 8)
    return content[:place] + bytes([content[place] ^ (1 << shift)]) + content[place + 1 :]


def write(path: Path, content: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(content)
    return path
