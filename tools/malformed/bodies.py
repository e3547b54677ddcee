"""Malformed bodies of requests, and malformed names of files."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from .case import STRANGE, Case, flipped, shown, strange

CHANGED, BITS, RANDOM_NAMES = 24, 6, 10
ODD = "ab/\\.%:*?<>|\"'~$ \0\n\x7f\u202eé日😀\ud800"
GOOD: dict[str, dict[str, Any]] = {
    "plan": {
        "schedule": "0s: a robot",
        "length": 81,
        "fps": 16,
        "width": 832,
        "height": 480,
        "steps": "1000, 500",
        "memory": {"preset": "Story"},
        "global_prompt": "",
        "model": "tiny",
    },
    "schedule": {"text": "0s: a robot"},
    "live": {"prompt": "a cat", "switch": "cut", "at": "12s"},
}
RAW = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b'"x"',
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b"NaN",
    b"\0",
    b"1" * 9999,
)


def bodies(_folder: Path, random: Random) -> Iterator[Case]:
    """(route, body) of requests; about 45. Texts of schedules are as they should be."""
    for _ in range(CHANGED):
        route = random.choice(sorted(GOOD))
        body = copy.deepcopy(GOOD[route])
        name = random.choice(sorted(body))
        if random.random() < 0.2:
            del body[name]
            yield Case(f"{route} without {name}", (route, json.dumps(body).encode()))
            continue
        body[name] = strange(random)
        yield Case(f"{route}: {name} is {shown(body[name])}", (route, json.dumps(body).encode()))
    for route, body in GOOD.items():
        whole = json.dumps(body).encode()
        for _ in range(BITS // len(GOOD)):
            bit = random.randrange(8 * len(whole))
            yield Case(f"{route}: bit {bit} is flipped", (route, flipped(whole, bit)))
    for content in RAW:
        route = random.choice(sorted(GOOD))
        yield Case(f"{route}: {shown(content)}", (route, content))


def names(_folder: Path, random: Random) -> Iterator[Case]:
    """Names of files, as a workflow may hold them; about 40."""
    for value in STRANGE:
        yield Case(f"the name {shown(value)}", value)
    for _ in range(RANDOM_NAMES):
        value = "".join(random.choice(ODD) for _ in range(random.randrange(1, 12)))
        yield Case(f"the name {shown(value)}", value)
    long = "n" * random.randrange(256, 5000)
    for value in (long, f"{long}/x", "é" * 130, "x/" * 3000 + "x", "a\nb", "\x1b[31m", "..", "../x", "a/../../x", "/x"):
        yield Case(f"the name {shown(value)}", value)
