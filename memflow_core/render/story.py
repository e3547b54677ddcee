"""The schedule of a story as it stands in a graph, on the grid of chunks; and the same graph up to a chunk.

It stands in a MemFlow Prompt Schedule, as text, or in a chain of MemFlow Prompt Segments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..schedule import ChunkGrid, Plan, PromptSchedule, ScheduleError, Segment, Time, read_story, to_text
from .convert import Graph, is_link
from .errors import JobError
from .graph import SCHEDULE, SEGMENT, STREAM, nodes_of

ENDLESS = "the story has no end, and nobody is here to press Finish now: set a length, as in --set length=240."
UNITS = {"seconds": "s", "frames": "frames", "chunks": "chunks"}  # of MemFlow Prompt Segment


class Prompts(Protocol):
    """Where the prompts of a story stand. schedule: what they say, less what only the nodes know of it."""

    schedule: PromptSchedule

    def end_at(self, graph: Graph, stream: str, end: int, story: Placed) -> None:
        """Change a graph so that its story ends with a chunk, and is the same up to there."""
        ...


@dataclass(frozen=True)
class Placed:
    """A story on the grid of chunks.

    schedule  without what lies beyond its end.
    asked     chunks that the node asks for; None where the schedule alone says when it ends.
    """

    schedule: PromptSchedule
    plan: Plan
    grid: ChunkGrid
    asked: int | None

    @staticmethod
    def of(schedule: PromptSchedule, grid: ChunkGrid, *, length: int) -> Placed:
        """Place a story of a node that asks for `length` video frames; 0: as many as the schedule says.

        Raises JobError for a story without an end, ScheduleError for one that cannot be placed.
        """
        asked = grid.chunks_for_px(length) if length else None
        own = schedule.length
        limits = [asked, None if own is None else grid.chunks_for_px(grid.px_of(own))]
        chunks = min((limit for limit in limits if limit is not None), default=None)
        if chunks is None:
            raise JobError(ENDLESS)
        schedule = schedule.within(grid, chunks)
        return Placed(schedule, schedule.place(grid, Time(chunks, "chunks")), grid, asked)

    def until(self, end: int) -> PromptSchedule:
        """The schedule up to a chunk. Shares of the length are written out, since the length is another."""
        segments = []
        for segment, placed in zip(self.schedule.segments, self.plan.segments, strict=True):
            if placed.start_chunk < end:
                share = segment.start.unit == "percent"
                exact = Time(self.grid.start_px(placed.start_chunk), "frames")
                segments.append(replace(segment, start=exact) if share else segment)
        pins = []
        for pin, at in zip(self.schedule.pins, self.plan.pins, strict=True):
            if at.frame < end * self.grid.latent_frames:
                exact = Time(self.grid.latent_start_px(at.frame), "frames")
                pins.append(replace(pin, time=exact) if pin.time.unit == "percent" else pin)
        return replace(self.schedule, segments=tuple(segments), pins=tuple(pins), length=Time(end, "chunks"), notes=())


def prompts_of(graph: Graph, stream: str) -> Prompts | None:
    """The prompts of the node that writes a film; None where they stand in nodes that nobody can look into here.

    Raises JobError for a schedule that its node would refuse.
    """
    link = graph[stream]["inputs"].get("schedule")
    if not is_link(link):
        return None
    if graph[link[0]]["class_type"] == SCHEDULE:
        return TextPrompts(graph, link[0]) if _is_plain(graph, link[0], ("prompts", "global_prompt", "story")) else None
    chain = _chain(graph, link[0])
    return None if chain is None else ChainedPrompts(graph, chain)


def check_schedules(graph: Graph) -> tuple[str, ...]:
    """What reading a graph's schedules left out or took in another way than it is written, a sentence each.

    Raises JobError for a schedule's text that its node would refuse, and for a story without an end.
    """
    told: list[str] = []
    for id in nodes_of(graph, SCHEDULE):
        if _is_plain(graph, id, ("prompts", "story")):
            told += map(str, TextPrompts(graph, id).schedule.notes)
    for id in nodes_of(graph, STREAM):
        prompts = prompts_of(graph, id)
        if prompts is not None and graph[id]["inputs"].get("length") == 0 and prompts.schedule.length is None:
            raise JobError(ENDLESS)
    return tuple(told)


class TextPrompts:
    """The text of a MemFlow Prompt Schedule."""

    def __init__(self, graph: Graph, id: str) -> None:
        self._id = id
        inputs = graph[id]["inputs"]
        with_own = str(inputs.get("global_prompt") or "").strip()
        try:
            schedule = read_story(str(inputs.get("prompts", "")), int(inputs.get("story", 1)))
        except ScheduleError as error:
            raise JobError(f"the schedule (node {id}): {error}") from None
        self.schedule = replace(schedule, global_prompt=with_own) if with_own else schedule

    def end_at(self, graph: Graph, stream: str, end: int, story: Placed) -> None:  # noqa: ARG002
        inputs = graph[self._id]["inputs"]
        # of several stories in a text, the one that was chosen is the whole text now
        inputs |= {"prompts": to_text(story.until(end)), **({"story": 1} if "story" in inputs else {})}


class ChainedPrompts:
    """A chain of MemFlow Prompt Segments, first one first."""

    def __init__(self, graph: Graph, ids: list[str]) -> None:
        self._ids = ids
        segments = [_segment(graph, id, number) for number, id in enumerate(ids, 1)]
        self.schedule = PromptSchedule(tuple(segments))

    def end_at(self, graph: Graph, stream: str, end: int, story: Placed) -> None:
        starts = [segment.start_chunk for segment in story.plan.segments]
        last = sum(start < end for start in starts) - 1
        graph[stream]["inputs"]["schedule"] = [self._ids[last], 0]


def _segment(graph: Graph, id: str, number: int) -> Segment:
    """A segment as it is placed; its words are for people to see. Of ways to switch, only some move positions."""
    inputs = graph[id]["inputs"]
    speaker = graph[inputs["conditioning"][0]]["inputs"] if is_link(inputs.get("conditioning")) else {}
    words = speaker.get("text")
    try:
        start = Time(float(inputs["start"]), UNITS[inputs.get("unit", "seconds")])
        switch = inputs["switch"] if inputs.get("switch") in ("jump", "fresh") else "recache"
        return Segment(start, words if isinstance(words, str) and words.strip() else f"segment {number}", switch)
    except (ScheduleError, KeyError) as error:
        raise JobError(f"MemFlow Prompt Segment (node {id}): {error}") from None


def _chain(graph: Graph, last: str) -> list[str] | None:
    """Ids of a chain of segments whose values all stand in the graph; None where it is none."""
    ids: list[str] = []
    link: Any = [last, 0]
    while is_link(link):
        id = link[0]
        if id in ids or graph[id]["class_type"] != SEGMENT or not _is_plain(graph, id, ("start", "unit", "switch")):
            return None
        ids.insert(0, id)
        link = graph[id]["inputs"].get("schedule")
    return ids


def _is_plain(graph: Graph, id: str, names: Iterable[str]) -> bool:
    return not any(is_link(graph[id]["inputs"].get(name)) for name in names)
