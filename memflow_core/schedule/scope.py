"""The timeline of Daydream Scope.

It is `{"prompts": [{"startTime": 0, "endTime": 5, "prompts": [{"text": "...", "weight": 100}]}]}`, in seconds. A gap
goes on with the prompt before it; the last end is the length. `"transitionSteps": 4` is a blend over so many chunks,
along `"temporalInterpolationMethod"` (`linear` or `slerp`). Other keys, such as settings, are not about the schedule
and stay unread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ScheduleError, require, show
from .schedule import Blend, PromptSchedule, Segment
from .time import Time

_PATHS = {"linear": "linear", "slerp": "spherical"}
# times that a timeline editor rounds differently still touch
_TOUCH_S = 1e-3


@dataclass(frozen=True)
class _Entry:
    """One entry of a timeline; `number` counts from 1."""

    number: int
    start: float
    end: float
    text: str
    blend: Blend | None

    def segment(self) -> Segment:
        """Return the segment. Raises ScheduleError."""
        switch = "recache" if self.blend is None else "blend"
        return Segment(Time(self.start, "s"), self.text, switch, blend=self.blend)


def from_timeline(entries: Sequence[Any]) -> PromptSchedule:
    """Read the entries of a timeline. Raises ScheduleError, naming the entry."""
    read = []
    for number, entry in enumerate(entries, 1):
        try:
            read.append(_read_entry(entry, number))
        except ScheduleError as error:
            raise ScheduleError(f"timeline entry {number}: {error}") from None
    # a timeline places its entries by their times, in whatever order they stand
    read.sort(key=lambda entry: (entry.start, entry.end, entry.number))
    _check_apart(read)
    return PromptSchedule(tuple(entry.segment() for entry in read), length=Time(read[-1].end, "s"))


def _check_apart(entries: Sequence[_Entry]) -> None:
    before_end, before = 0.0, 0
    for entry in entries:
        number, start, end = entry.number, entry.start, entry.end
        if end <= start:
            raise ScheduleError(f"timeline entry {number} ends at {end} s, but starts at {start} s: make it longer.")
        if start < before_end - _TOUCH_S:
            raise ScheduleError(
                f"timeline entry {number} starts at {start} s, before entry {before} ends at {before_end} s: entries "
                f"must not overlap."
            )
        before_end, before = end, number


def _read_entry(entry: Any, number: int) -> _Entry:
    start, end = _seconds(entry, "startTime"), _seconds(entry, "endTime")
    return _Entry(number=number, start=start, end=end, text=_text(entry), blend=_blend(entry))


def _seconds(entry: Any, key: str) -> float:
    require(isinstance(entry, Mapping) and key in entry, f"{key} is missing.")
    return Time(entry[key], "s").value


def _text(entry: Mapping[str, Any]) -> str:
    """The one text whose weight is not 0. Raises ScheduleError if there are several: prompts are not mixed."""
    texts = entry.get("prompts") or [{"text": entry.get("text", "")}]
    require(
        isinstance(texts, (list, tuple)) and all(isinstance(text, Mapping) and "text" in text for text in texts),
        f"prompts is {show(texts)}, but must be a list of objects with a text.",
    )
    weighted = [text for text in texts if text.get("weight", 100) != 0]
    require(
        len(weighted) == 1,
        f"{len(weighted)} of its texts have a weight other than 0, but prompts are not blended: keep one, for example "
        f"{show(texts[0]['text'])}.",
    )
    return weighted[0]["text"]


def _blend(entry: Mapping[str, Any]) -> Blend | None:
    """The transition into an entry, which makes one step a chunk; None for a plain switch."""
    steps = entry.get("transitionSteps") or 0
    if steps == 0:
        return None
    method = entry.get("temporalInterpolationMethod") or "linear"
    known = isinstance(method, str) and method in _PATHS
    require(known, f"temporalInterpolationMethod is {show(method)}, but must be {' or '.join(_PATHS)}.")
    return Blend(Time(steps, "chunks"), _PATHS[method])
