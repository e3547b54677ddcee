"""Check the trace of a state file, record by record: what the run's log and the page read must be there, and fit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from .read_json import parse_json

# a record of 40 layers and 64 slots takes 50 kB
FIRST_LOOK, MOST_RECORD = 2**13, 2**20
MOST_NAME = 200


@dataclass(frozen=True)
class TraceBounds:
    """What a stream can have decided about: no more layers, batch items and slots than it has, no chunk to come."""

    chunk: int
    layers: int
    batch: int
    slots: int


def check_trace(content: bytes, bounds: TraceBounds) -> None:
    """Raise ValueError, as the end of a sentence, unless a trace is a list of records as a stream makes them."""
    try:
        for number, record in enumerate(read_records(content)):
            problem = _problem_of(record, bounds)
            if problem is not None:
                raise ValueError(f"record {number} of its trace {problem}")
    except UnicodeDecodeError as error:
        raise ValueError("its trace is no JSON") from error


def read_records(content: bytes) -> Iterator[Any]:
    """The values of a JSON list, one by one, in memory for one. Raises ValueError for anything else."""
    place = _skip_space(content, 0)
    if content[place : place + 1] != b"[":
        raise ValueError("its trace is no list of records")
    place = _skip_space(content, place + 1)
    if content[place : place + 1] != b"]":
        while True:
            value, place = _next_value(content, place)
            yield value
            place = _skip_space(content, place)
            if content[place : place + 1] != b",":
                break
            place = _skip_space(content, place + 1)
    if content[place : place + 1] != b"]" or _skip_space(content, place + 1) != len(content):
        raise ValueError("its trace is no JSON")


def _skip_space(content: bytes, place: int) -> int:
    while place < len(content) and content[place] in b" \t\r\n":
        place += 1
    return place


def _next_value(content: bytes, place: int) -> tuple[Any, int]:
    """A value, and where it ends. Only so much is parsed as a record can have."""
    look = FIRST_LOOK
    while True:
        # a letter that is cut in two at the end belongs to no record of ours
        text = content[place : place + look].decode(errors="replace")
        try:
            _, length = json.JSONDecoder().raw_decode(text)
        except RecursionError as error:
            raise ValueError("its trace is nested too deep") from error
        except ValueError as error:
            if look >= MOST_RECORD or place + look >= len(content):
                raise ValueError("its trace is no JSON, or has a record without end") from error
            look = min(8 * look, MOST_RECORD)
            continue
        record = text[:length]
        if "\ufffd" in record:
            raise ValueError("its trace is no text in UTF-8")
        return parse_json(record), place + len(record.encode())


def _problem_of(record: Any, bounds: TraceBounds) -> str | None:
    """What is wrong with a record, as the end of a sentence; None if nothing is."""
    if not isinstance(record, dict) or not isinstance(record.get("event"), str):
        return "is none"
    if not _whole(record.get("chunk"), 0, bounds.chunk):
        return f"is of chunk {_shown(record.get('chunk'))}"
    checks = _FIELDS.get(record["event"], {})
    for name, fits in checks.items():
        if name not in record:
            if name in _LATER.get(record["event"], ()):
                continue
            return f"lacks {name!r}"
        if not fits(record[name]):
            return f"has a {name!r} that is none"
    problem_of = _PROBLEMS.get(record["event"])
    return None if problem_of is None else problem_of(record, bounds)


def _retrieval_problem(record: Mapping[str, Any], bounds: TraceBounds) -> str | None:
    """Lists of a retrieval are [layers][batch][slots] of the same layers; scores have one for the candidate at most."""
    before, scores = record["before"], record["scores"]
    problem = _bank_problem(record, bounds)
    if problem is not None or scores is None:
        return problem
    lengths = [[len(row) for row in layer] for layer in before]
    competing = [[length + 1 for length in layer] for layer in lengths]
    if [[len(row) for row in layer] for layer in scores] not in (lengths, competing):
        return "has scores for other frames than it lists"
    return None


def _choice_problem(record: Mapping[str, Any], bounds: TraceBounds) -> str | None:
    """The bank as in a retrieval; scores are one for each frame that is listed, for each batch item."""
    frames, scores = record["frames"], record["scores"]
    if len(scores) != bounds.batch or any(len(row) != len(frames) for row in scores):
        return "has scores for other frames than it lists"
    return _bank_problem(record, bounds)


def _bank_problem(record: Mapping[str, Any], bounds: TraceBounds) -> str | None:
    """What the bank held and holds is [layers][batch][slots] of the same layers."""
    before, after = record["before"], record["after"]
    if not 0 < len(after) <= bounds.layers - record["first_layer"] or len(before) != len(after):
        return "is of layers that are not there"
    if any(len(layer) != bounds.batch or any(len(row) > bounds.slots for row in layer) for layer in (*before, *after)):
        return "holds more frames than the bank"
    return None


def _shown(value: object) -> str:
    return repr(value)[:40]


def _whole(value: object, low: int = -(10**9), high: int = 10**12) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MOST_NAME


def _name(value: object) -> bool:
    return value is None or _text(value)


def _step(value: object) -> bool:
    return value is None or _whole(value)


def _layer(value: object) -> bool:
    return _whole(value, 0, 1000)


def _count(value: object) -> bool:
    return _whole(value, 0)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _three_numbers(value: object) -> bool:
    return _list_of(_number)(value) and len(cast("list[Any]", value)) == 3


_frames = _list_of(_whole)
_pair = _list_of(_whole)
_by_slot = _list_of(_list_of(_frames))
# fields by event; others, and events that later versions add, are not read
_FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "record": {"frame": _whole},
    "retrieve": {
        "policy": _text,
        "candidate": _whole,
        "first_layer": _layer,
        "before": _by_slot,
        "scores": _or_none(_list_of(_list_of(_list_of(_number)))),
        "after": _by_slot,
    },
    "choose": {
        "rule": _text,
        "archived": _count,
        "frames": _frames,
        "scores": _list_of(_list_of(_number)),
        "first_layer": _layer,
        "before": _by_slot,
        "after": _by_slot,
    },
    "ban": {"frame": _whole},
    "activate": {"kind": _text, "step": _step, "frames": _list_of(_pair)},
    "switch": {"kind": _text, "recomputed": _frames},
    "blend": {"weight": _number, "path": _text},
    "pin": {"frame": _whole, "name": _name},
    "unpin": {"frame": _whole, "name": _name},
    "recall": {"names": _list_of(_text), "frames": _frames},
    "share": {"sink": _number, "bank": _number, "window": _number, "even": _three_numbers},
}
# fields that came later, by event: files of before have none
_LATER = {"share": ("even",)}
_PROBLEMS = {"retrieve": _retrieval_problem, "choose": _choice_problem}
