"""Schedules as lists and objects, for programs; `schedule_formats` says what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import ScheduleError, require, show
from .schedule import Blend, Pin, PromptSchedule, Segment
from .time import Time, parse_time

_TIME_KEYS = {"start_s": "s", "frame": "frames", "chunk": "chunks", "latent": "latent", "percent": "percent"}
_ENTRY_KEYS = ("time", *_TIME_KEYS, "prompt", "switch", "seed", "blend", "recall")
_PIN_KEYS = ("time", *_TIME_KEYS, "name")
_BLEND_KEYS = ("chunks", "s", "path")
_OBJECT_KEYS = ("segments", "global_prompt", "length", "pins")


def from_segments(source: Mapping) -> PromptSchedule:
    """Read the object form. Raises ScheduleError, naming the entry or pin."""
    _check_keys(source, _OBJECT_KEYS)
    segments, length, pins = source["segments"], source.get("length"), source.get("pins", [])
    for name, held in (("segments", segments), ("pins", pins)):
        require(isinstance(held, (list, tuple)), f"{name!r} is {show(held)}, but must be a list.")
    return PromptSchedule(
        tuple(read_entries(segments)),
        source.get("global_prompt", ""),
        None if length is None else _time(length),
        tuple(_pin(pin, number) for number, pin in enumerate(pins, 1)),
    )


def _pin(pin: object, number: int) -> Pin:
    try:
        require(isinstance(pin, Mapping), f"{show(pin)} is not an object.")
        _check_keys(pin, _PIN_KEYS)
        return Pin(_entry_time(pin), pin.get("name"))
    except ScheduleError as error:
        raise ScheduleError(f"pin {number}: {error}") from None


def read_entries(entries: Sequence) -> list[Segment]:
    """Read the list form. Raises ScheduleError, naming the entry."""
    segments = []
    for number, entry in enumerate(entries, 1):
        try:
            segments.append(_entry(entry))
        except ScheduleError as error:
            raise ScheduleError(f"entry {number}: {error}") from None
    return segments


def _entry(entry: object) -> Segment:
    if isinstance(entry, (list, tuple)):
        if len(entry) != 2:
            raise ScheduleError(f"{show(entry)} has {len(entry)} parts, but must be [time, prompt].")
        return Segment(_time(entry[0]), entry[1])
    if not isinstance(entry, Mapping):
        raise ScheduleError(f"{show(entry)} is neither an object nor [time, prompt].")
    _check_keys(entry, _ENTRY_KEYS)
    start = _entry_time(entry)
    require("prompt" in entry, "'prompt' is missing.")
    blend = None if entry.get("blend") is None else _blend(entry["blend"])
    said = (entry["prompt"], entry.get("switch", "recache"), entry.get("seed"), blend, entry.get("recall", ()))
    return Segment(start, *said)


def _entry_time(entry: Mapping) -> Time:
    times = [key for key in ("time", *_TIME_KEYS) if key in entry]
    if len(times) != 1:
        raise ScheduleError(f"it has {len(times)} times, but must have one of {', '.join(('time', *_TIME_KEYS))}.")
    return _time(entry["time"]) if times == ["time"] else Time(entry[times[0]], _TIME_KEYS[times[0]])


def _blend(blend: object) -> Blend:
    if not isinstance(blend, Mapping):
        raise ScheduleError(f'blend is {show(blend)}, but must be an object like {{"chunks": 6, "path": "linear"}}.')
    _check_keys(blend, _BLEND_KEYS)
    require(not ("chunks" in blend and "s" in blend), "blend has both 'chunks' and 's': keep one.")
    default = Blend()
    lengths = [Time(blend[unit], unit) for unit in ("chunks", "s") if unit in blend]
    return Blend(lengths[0] if lengths else default.length, blend.get("path", default.path))


def _check_keys(source: Mapping, allowed: Sequence[str]) -> None:
    unknown = [key for key in source if key not in allowed]
    if unknown:
        raise ScheduleError(f"key {show(unknown[0])} is unknown: use {', '.join(allowed)}.")


def _time(value: object) -> Time:
    if isinstance(value, Time):
        return value
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, Mapping):
        require(len(value) == 1, f'time is {show(dict(value))}, but must have one unit, as in {{"s": 10}}.')
        ((unit, number),) = value.items()
        return Time(number, unit)
    if not isinstance(value, (int, float)):
        raise ScheduleError(f'time is {show(value)}, but must be a text, a video frame, or an object like {{"s": 10}}.')
    return Time(value, "frames")
