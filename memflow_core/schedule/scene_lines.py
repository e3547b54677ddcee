"""Scene lines of Echo-Forcing: one story a line, `prompt [10s#] | prompt [10s@] | prompt [10s]; titles`.

A scene's length stands at its end. `#` behind it cuts to the next scene; `@` goes back, in the next scene, to the
earlier one whose prompt is most like it: the middle of that scene is pinned, and recalled. Titles are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from .errors import ScheduleError, shorten
from .limits import check_count
from .loose_line import is_timed
from .notes import Note, note
from .schedule import Pin, PromptSchedule, Segment
from .time import Time

SCENE_END = re.compile(r"\[[ \t]{0,9}([0-9]{1,9}(?:\.[0-9]{0,9})?)[ \t]{0,9}s[ \t]{0,9}([#@])?[ \t]{0,9}\]")
# scenes may be written one a line for people to read
_NUMBERED = re.compile(r"[0-9]{1,3}[:.)][ \t]{1,9}")
_WORD = re.compile(r"\w+")
MOST_S = 1e6


def is_scene_line(line: str) -> bool:
    """Whether a line holds the length of a scene."""
    return SCENE_END.search(line) is not None


def split_scene_lines(text: str) -> list[str]:
    """The stories of a text in this form, one a line; none where it is in another.

    A text is in it where a line holds a length with a mark, or where every part of a line with bars ends in a length.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not any(map(is_scene_line, lines[:2])):
        return []
    if all(is_scene_line(line) and _NUMBERED.match(line) for line in lines):
        lines = [_NUMBERED.sub("", line, count=1) for line in lines]
    marked = any(found[2] for line in lines for found in SCENE_END.finditer(line))
    whole = all("|" in line and all(map(_ends, line.split(";")[0].split("|"))) for line in lines)
    # a time of its own makes a line one of the text form
    return lines if (marked or whole) and not any(map(is_timed, lines)) else []


def _ends(part: str) -> bool:
    ends = list(SCENE_END.finditer(part.rstrip()))
    return len(ends) == 1 and ends[0].end() == len(part.rstrip())


def choose_scene_line(lines: Sequence[str], line: int | None) -> str:
    """The story on a line, from 1. Raises ScheduleError where several lines may be one story, or none is chosen."""
    count = len(lines)
    if line is None and count > 1:
        split = not any("|" in one for one in lines)
        raise ScheduleError(
            f"the text holds {count} lines of scenes: "
            + (
                "for one story, write them in one line with ' | ' between."
                if split
                else f"each is a story, so set story on the node, or choose line 1 to {count}."
            )
        )
    if line is not None and not 1 <= line <= count:
        raise ScheduleError(f"line is {line}, but must be from 1 to {count}.")
    return lines[(line or 1) - 1]


def from_scene_line(line: str) -> PromptSchedule:
    """Read one story. Raises ScheduleError, naming the scene."""
    told_of, _, titles = line.partition(";")
    check_count("scenes", told_of.count("|") + 1)
    scenes = list(_scenes(told_of))
    starts = [0.0]
    for _, seconds, _ in scenes:
        starts.append(round(starts[-1] + seconds, 9))
    prompts = [prompt for prompt, _, _ in scenes]
    back = dict(_back_to(prompts, [place for place in range(2, len(scenes)) if scenes[place - 1][2] == "@"]))
    names = {source: f"scene{source + 1}" for source in back.values()}
    pins = tuple(Pin(Time((starts[at] + starts[at + 1]) / 2, "s"), name) for at, name in sorted(names.items()))
    segments = []
    for place, prompt in enumerate(prompts):
        marker = scenes[place - 1][2] if place else ""
        recall = (names[back[place]],) if place in back else ()
        switch = "cut" if marker else "recache"
        segments.append(Segment(Time(starts[place], "s"), prompt, switch, recall=recall))
    told = [*_told(back, bool(titles.strip()))]
    if len(scenes) == 1:
        told.append(note("read as one scene of {0} s", f"{scenes[0][1]:g}"))
    return PromptSchedule(tuple(segments), length=Time(starts[-1], "s"), pins=pins, notes=tuple(told))


def _told(back: dict[int, int], titled: bool) -> Iterator[Note]:
    if back:
        pairs = ", ".join(f"{place + 1} to {source + 1}" for place, source in back.items())
        yield note("scenes go back to the earlier one that is most like them: {0}", pairs)
    if titled:
        yield note("titles behind a semicolon left out")


def _scenes(text: str) -> Iterator[tuple[str, float, str]]:
    """(prompt, seconds, marker) of each scene of a line."""
    for place, part in enumerate(text.split("|"), 1):
        ends = list(SCENE_END.finditer(part))
        if len(ends) != 1 or part[ends[0].end() :].strip():
            problem = "no length at its end" if len(ends) < 2 else "several lengths"
            raise ScheduleError(f"scene {place} has {problem}: write one there, as in 'a cat sleeps [10s#]'.")
        prompt, seconds = part[: ends[0].start()].strip(), float(ends[0][1])
        if not prompt:
            raise ScheduleError(f"scene {place} has no prompt: write it before {shorten(ends[0][0], 20)}.")
        if not 0 < seconds <= MOST_S:
            raise ScheduleError(f"scene {place} lasts {seconds:g} s, but must last more than 0 and at most 1000000.")
        yield prompt, seconds, ends[0][2] or ""


def _back_to(prompts: Sequence[str], places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Places, each with the scene, before the one that precedes it, whose words are most like those there.

    Rare words count more.
    """
    bags = [sorted(set(_WORD.findall(prompt.lower()))) for prompt in prompts]
    lists: dict[str, list[int]] = {}
    for number, bag in enumerate(bags):
        for word in bag:
            lists.setdefault(word, []).append(number)
    scenes_with = {word: np.array(scenes) for word, scenes in lists.items()}
    square = {word: (math.log(len(prompts) / len(scenes)) + 1e-6) ** 2 for word, scenes in lists.items()}
    # a prompt may have no words, as one of signs alone
    length = np.sqrt([sum(square[word] for word in bag) or 1.0 for bag in bags])
    for place in places:
        shared = np.zeros(len(prompts))
        for word in bags[place]:
            shared[scenes_with[word]] += square[word]
        yield place, int((shared / length)[: place - 1].argmax())
