"""The JSON form of schedules, as a list or an object, for programs.

list    `[{"time": "10s", "prompt": "...", "switch": "cut", "seed": 1}, ...]` or `[["10s", "..."], ...]`. `time` is a
        text as in the text form, a number (a video frame) or `{"s": 10}` with a unit of `Time`; in its place `start_s`,
        `frame`, `chunk`, `latent` or `percent` may hold the number. With the switch `blend` there may be
        `"blend": {"chunks": 6, "path": "spherical"}`, or `"s"` for `"chunks"`.
        `"recall": ["hero"]` recalls pins; `"loras": [["name", 0.8]]` gives the model LoRAs.
object  `{"segments": list form, "global_prompt": "...", "length": time, "pins": [...]}`, each pin as in
        `{"time": "3.5s", "name": "hero"}`, with a name or without; times as in the list form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ScheduleError, require, show
from .foreign import switch_of, words_note
from .notes import Note, listed, note
from .schedule import Blend, Pin, PromptSchedule, Segment
from .time import Time, parse_time

_TIME_UNITS = {"start_s": "s", "frame": "frames", "chunk": "chunks", "latent": "latent", "percent": "percent"}
_TIME_KEYS = ("time", *_TIME_UNITS)
_ENTRY_KEYS = (*_TIME_KEYS, "prompt", "switch", "seed", "blend", "recall", "loras")
_PIN_KEYS = (*_TIME_KEYS, "name")
_BLEND_KEYS = ("chunks", "s", "path")
# notes are those of the route that answers with this form, and change nothing
_OBJECT_KEYS = ("segments", "global_prompt", "length", "pins", "notes")


def is_list_form(entries: object) -> bool:
    """Whether a list starts as the list form does: with a prompt, and a time under one of its keys."""
    first = entries[0] if isinstance(entries, (list, tuple)) and entries else None
    return not isinstance(first, Mapping) or ("prompt" in first and any(key in first for key in _TIME_KEYS))


def from_list(entries: Sequence[Any]) -> PromptSchedule:
    """Read the list form; a number as `time` is told, since it often means seconds. Raises ScheduleError."""
    return PromptSchedule(_segments(entries), notes=tuple(_told(entries)))


def _told(entries: Sequence[Any]) -> list[Note]:
    """What is told of times without a unit that count video frames; a 0 alone means the same in both."""
    times = [entry.get("time") for entry in entries if isinstance(entry, Mapping)]
    bare = [number for number, time in enumerate(times, 1) if isinstance(time, (int, float)) and time]
    told = [note("numbers without a unit are video frames ({0})", listed(bare))] if bare else []
    return [*told, *_words(entries)]


def _words(entries: Sequence[Any]) -> list[Note]:
    words = [entry.get("switch") for entry in entries if isinstance(entry, Mapping)]
    return words_note([word for word in words if isinstance(word, str)])


def from_object(source: Mapping[str, Any]) -> PromptSchedule:
    """Read the object form, which has the key `segments`. Raises ScheduleError, naming the entry or pin."""
    _check_keys(source, _OBJECT_KEYS)
    segments, pins = source["segments"], source.get("pins", [])
    for name, value in (("segments", segments), ("pins", pins)):
        require(isinstance(value, (list, tuple)), f"{name!r} is {show(value)}, but must be a list.")
    length = source.get("length")
    return PromptSchedule(
        segments=_segments(segments),
        global_prompt=source.get("global_prompt", ""),
        length=None if length is None else _time(length),
        pins=tuple(_pin(pin, number) for number, pin in enumerate(pins, 1)),
        notes=tuple(_words(segments)),
    )


def _segments(entries: Sequence[Any]) -> tuple[Segment, ...]:
    segments = []
    for number, entry in enumerate(entries, 1):
        try:
            segments.append(_segment(entry))
        except ScheduleError as error:
            raise ScheduleError(f"entry {number}: {error}") from None
    return tuple(segments)


def _segment(entry: object) -> Segment:
    if isinstance(entry, (list, tuple)):
        if len(entry) != 2:
            raise ScheduleError(f"{show(entry)} has {len(entry)} parts, but must be [time, prompt].")
        return Segment(_time(entry[0]), entry[1])
    if not isinstance(entry, Mapping):
        raise ScheduleError(f"{show(entry)} is neither an object nor [time, prompt].")
    _check_keys(entry, _ENTRY_KEYS)
    start = _keyed_time(entry)
    require("prompt" in entry, "'prompt' is missing.")
    return Segment(
        start,
        entry["prompt"],
        switch=_switch(entry.get("switch", "recache")),
        seed=entry.get("seed"),
        blend=None if entry.get("blend") is None else _blend(entry["blend"]),
        recall=entry.get("recall", ()),
        loras=entry.get("loras", ()),
    )


def _switch(word: object) -> Any:
    """A switch, where a word of another program stands for one; else the value itself, for Segment to check."""
    return (switch_of(word) if isinstance(word, str) else None) or word


def _pin(pin: object, number: int) -> Pin:
    try:
        if not isinstance(pin, Mapping):
            raise ScheduleError(f"{show(pin)} is not an object.")
        _check_keys(pin, _PIN_KEYS)
        return Pin(_keyed_time(pin), pin.get("name"))
    except ScheduleError as error:
        raise ScheduleError(f"pin {number}: {error}") from None


def _blend(blend: object) -> Blend:
    if not isinstance(blend, Mapping):
        raise ScheduleError(f'blend is {show(blend)}, but must be an object like {{"chunks": 6, "path": "linear"}}.')
    _check_keys(blend, _BLEND_KEYS)
    require(not ("chunks" in blend and "s" in blend), "blend has both 'chunks' and 's': keep one.")
    default = Blend()
    lengths = [Time(blend[unit], unit) for unit in ("chunks", "s") if unit in blend]
    return Blend(lengths[0] if lengths else default.length, blend.get("path", default.path))


def _keyed_time(source: Mapping[str, Any]) -> Time:
    """The time of an entry or a pin, under whichever one of the keys for times it has."""
    keys = [key for key in _TIME_KEYS if key in source]
    if len(keys) != 1:
        raise ScheduleError(f"it has {len(keys)} times, but must have one of {', '.join(_TIME_KEYS)}.")
    key = keys[0]
    return _time(source[key]) if key == "time" else Time(source[key], _TIME_UNITS[key])


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


def _check_keys(source: Mapping[str, Any], allowed: Sequence[str]) -> None:
    unknown = [key for key in source if key not in allowed]
    if unknown:
        raise ScheduleError(f"key {show(unknown[0])} is unknown: use {', '.join(allowed)}.")
