"""Cut a job into parts that end at moments, from which another worker can go on.

A part is one graph: from the moment before, which is a state file, up to the next. Moments lie where a prompt changes,
and `every_s` seconds at the most apart. A part's key is a hash of all that it is made from, the part before it too:
stories that begin alike have their first parts in common, and what is made once is never made again.

The schedule of a part ends with it, but is else the whole one up to there; the node's `length` stays a long one, since
positions of the stream follow it. `MemFlow Stream to Video` goes on from an exact state bit by bit.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..config import MAX_ABSOLUTE_FRAMES
from ..schedule import ChunkGrid, Plan, PromptSchedule, ScheduleError, Time, read_schedule, to_text
from .convert import Graph, is_link
from .errors import JobError
from .graph import SAMPLER, SCHEDULE, STREAM, ancestors, followers, nodes_of

SAVE, LOAD = "MemFlowSaveState", "MemFlowLoadState"
LOADED, SAVED = "memflow_moment", "memflow_next_moment"  # ids of the nodes that are added to a graph
CONTENTS = ("exact", "compact")
FOLDER = "render"  # in ComfyUI's folder of states
MOST_FRAMES = 1_000_000  # the longest `length` of the node
LONGEST_ABSOLUTE = MAX_ABSOLUTE_FRAMES // ChunkGrid().latent_frames  # chunks
# what only looks at a film, and is left out of its parts
LOOKS = {"PreviewAny", "MemFlowMemoryView", "SaveVideo", "MemFlowExportJob"}


@dataclass(frozen=True)
class Part:
    """One graph to run.

    key     a hash of what it makes.
    parent  the key of the part that it goes on from; None for a first one.
    stream  id of the node that writes the film; None for a graph that is run as it is, in one piece.
    chunks  first chunk, and the one after the last; (0, 0) where they are not known.
    prompt  of its first chunk, to show.
    """

    key: str
    parent: str | None
    graph: Graph
    stream: str | None = None
    chunks: tuple[int, int] = (0, 0)
    prompt: str = ""


@dataclass(frozen=True)
class Cut:
    """A job in parts.

    whole  why it is one part, in words; empty where it is in parts.
    left   ids of nodes that are left out, since they only look at the film.
    fps    video frames a second of the film; 0 for one piece.
    keep   content of the state that the job itself saves at its end; None if it saves none.
    """

    parts: tuple[Part, ...]
    whole: str = ""
    left: tuple[str, ...] = ()
    fps: float = 0.0
    keep: str | None = None


def cut_job(
    graph: Graph, infos: Mapping[str, Any], *, every_s: float = 60.0, content: str = "exact", ranks: int = 1
) -> Cut:
    """Cut a job's graph into parts.

    every_s  the longest time between two moments, in seconds of the film.
    content  of the moments' state files: exact (gigabytes at 832 x 480, the same bit by bit) or compact.
    ranks    ComfyUIs that make the story together: their sums are rounded in another order, so their parts are others.

    Raises JobError for a story that has no end, or whose schedule cannot be placed.
    """
    why = _why_whole(graph, infos)
    if why:
        _check_schedules(graph)
        return Cut((_whole(graph, ranks),), whole=why)
    (stream,) = nodes_of(graph, STREAM)
    story = _Story(graph, stream)
    parts: list[Part] = []
    ends = story.moments(every_s)
    for start, end in zip((0, *ends), ends, strict=False):
        parent = parts[-1].key if parts else None
        parts.append(story.part(start, end, parent, (content, ranks)))
    others = _outputs(graph, infos) - {stream}
    saves = [graph[id]["inputs"].get("content", "compact") for id in others if graph[id]["class_type"] == SAVE]
    left = tuple(sorted(id for id in others if graph[id]["class_type"] != SAVE))
    return Cut(tuple(parts), left=left, fps=story.grid.fps, keep=saves[0] if saves else None)


def runnable(part: Part, content: str | None) -> Graph:
    """A part's graph, with a node that saves the moment at its end unless content is None."""
    graph = copy.deepcopy(part.graph)
    if content is not None and part.stream is not None:
        inputs = {"state": [part.stream, 1], "filename_prefix": f"{FOLDER}/{part.key}", "content": content}
        graph[SAVED] = {"class_type": SAVE, "inputs": inputs}
    return graph


def state_name(key: str) -> str:
    """The file of a moment below ComfyUI's folder of states."""
    return f"{FOLDER}/from_{key}.safetensors"


def model_key(graph: Graph) -> str:
    """A hash of what loads the models of a graph: where it was run before, they are warm."""
    sampling = [id for kind in (STREAM, SAMPLER) for id in nodes_of(graph, kind)]
    loads = [graph[id]["inputs"].get(name) for id in sampling for name in ("model", "vae")]
    return _hash(ancestors(graph, *(link[0] for link in loads if is_link(link) and link[0] in graph)))


def _whole(graph: Graph, ranks: int) -> Part:
    bare = {id: {name: node[name] for name in ("class_type", "inputs")} for id, node in graph.items()}
    return Part(_hash(bare if ranks == 1 else [bare, ranks]), None, bare)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def _outputs(graph: Graph, infos: Mapping[str, Any]) -> set[str]:
    return {id for id, node in graph.items() if infos[node["class_type"]].get("output_node")}


def _why_whole(graph: Graph, infos: Mapping[str, Any]) -> str:
    """Why a graph cannot be cut; empty if it can."""
    streams = nodes_of(graph, STREAM)
    if len(streams) != 1 or nodes_of(graph, SAMPLER):
        return "it has not exactly one MemFlow sampler that streams to a video"
    node = graph[streams[0]]["inputs"]
    for name, why in (("state", "it goes on from a state"), ("audio", "it has sound")):
        if is_link(node.get(name)):
            return why
    if any(is_link(node.get(name)) for name in ("length", "fps", "seed", "format", "save_output")):
        return "a link decides its length, fps, seed or format"
    schedule = graph[node["schedule"][0]] if is_link(node.get("schedule")) else {"class_type": "", "inputs": {}}
    texts = [schedule["inputs"].get(name, "") for name in ("prompts", "global_prompt")]
    if schedule["class_type"] != SCHEDULE or not all(isinstance(text, str) for text in texts):
        return "its prompts do not stand in a MemFlow Prompt Schedule"
    after = followers(graph, streams[0])
    for id in sorted(_outputs(graph, infos) - {streams[0]}):
        kind = graph[id]["class_type"]
        of_state = kind == SAVE and graph[id]["inputs"].get("state") == [streams[0], 1]
        if not of_state and (kind not in LOOKS or (id not in after and kind != "MemFlowExportJob")):
            return f"{kind} (node {id}) needs the whole film, or writes something else"
    return ""


def _check_schedules(graph: Graph) -> None:
    """Raise JobError for a schedule's text that its node would refuse."""
    for id in nodes_of(graph, SCHEDULE):
        text = graph[id]["inputs"].get("prompts")
        if isinstance(text, str):
            _read(text, id)


def _read(text: str, id: str) -> PromptSchedule:
    try:
        return read_schedule(text)
    except ScheduleError as error:
        raise JobError(f"the schedule (node {id}): {error}") from None


class _Story:
    """The one film of a graph: its schedule on the grid of chunks, and graphs of its parts."""

    def __init__(self, graph: Graph, stream: str) -> None:
        inputs = graph[stream]["inputs"]
        self.stream = stream
        self.text_node = inputs["schedule"][0]
        self.needed = _bare(ancestors(graph, stream))
        self.schedule = _read(graph[self.text_node]["inputs"].get("prompts", ""), self.text_node)
        try:
            self.grid = ChunkGrid(fps=float(inputs.get("fps", 16.0)))
            self.asked = self.grid.chunks_for_px(int(inputs["length"])) if inputs["length"] else None
            self.plan = self._place(graph[self.text_node]["inputs"].get("global_prompt", ""))
        except ScheduleError as error:
            raise JobError(f"the schedule (node {self.text_node}): {error} --set length=N sets video frames.") from None

    def _place(self, global_prompt: str) -> Plan:
        schedule = replace(self.schedule, global_prompt=global_prompt.strip() or self.schedule.global_prompt)
        own = schedule.length
        limits = [self.asked, None if own is None else self.grid.chunks_for_px(self.grid.px_of(own))]
        chunks = min((limit for limit in limits if limit is not None), default=None)
        if chunks is None:
            raise JobError(
                "the story has no end, and nobody is here to press Finish now: set a length, as in --set length=240."
            )
        return schedule.place(self.grid, Time(chunks, "chunks"))

    def moments(self, every_s: float) -> tuple[int, ...]:
        """Chunks at which a part ends: where a prompt changes, and so often that none is longer than `every_s`."""
        most = max(1, int(every_s * self.grid.fps / self.grid.chunk_px))
        ends: list[int] = []
        for segment in self.plan.segments:
            ends += range(segment.start_chunk + most, segment.end_chunk, most)
            ends.append(segment.end_chunk)
        return tuple(ends)

    def part(self, start: int, end: int, parent: str | None, made_by: tuple[str, int]) -> Part:
        """One part; made_by: (content of moments, ranks), which decide its numbers beside the graph."""
        graph = copy.deepcopy(self.needed)
        graph[self.text_node]["inputs"]["prompts"] = to_text(self._until(end))
        inputs = graph[self.stream]["inputs"]
        inputs |= {"length": self._length(start), "filename_prefix": f"{FOLDER}/part", "save_output": True}
        if parent is not None:
            inputs["state"] = [LOADED, 0]
            file = f"memflow_states/{state_name(parent)} [output]"
            graph[LOADED] = {"class_type": LOAD, "inputs": {"file": file}}
        key = _hash([graph, *made_by])
        prompt = self.plan.segments[self.plan.segment_at(start)].prompt
        return Part(key, parent, graph, self.stream, (start, end), prompt)

    def _length(self, start: int) -> int:
        """Video frames that the node is asked for: the most that leave positions as the whole story has them."""
        most = LONGEST_ABSOLUTE
        if self.asked is None or self.asked > most:
            most = self.grid.chunks_for_px(MOST_FRAMES) - 1
        return self.grid.px_frames(most) - self.grid.px_frames(start)

    def _until(self, end: int) -> PromptSchedule:
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
        return replace(self.schedule, segments=tuple(segments), pins=tuple(pins), length=Time(end, "chunks"))


def _bare(graph: Graph) -> Graph:
    return {id: {name: node[name] for name in ("class_type", "inputs")} for id, node in copy.deepcopy(graph).items()}
