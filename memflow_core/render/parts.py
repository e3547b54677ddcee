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
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import MAX_ABSOLUTE_FRAMES, MemoryConfig
from ..schedule import ChunkGrid, PromptSchedule, ScheduleError, changes_of, farthest_position, parse_time
from .chunks import chunk_frames_of
from .convert import Graph, is_link
from .errors import JobError
from .graph import CONTROL, MEMORY, SAMPLER, STREAM, ancestors, followers, nodes_of
from .story import ChainedPrompts, Placed, Prompts, check_schedules, prompts_of

SAVE, LOAD = "MemFlowSaveState", "MemFlowLoadState"
SAVE_SOUND = "SaveAudio"  # ComfyUI's own, as FLAC
LOADED, SAVED, SOUND = (
    "memflow_moment",
    "memflow_next_moment",
    "memflow_sound",
)  # ids of nodes that are added to a graph
CONTENTS = ("exact", "compact")
FOLDER = "render"  # in ComfyUI's folder of states
MOST_FRAMES = 1_000_000  # the longest `length` of the node
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
    sound  a part that makes the film's sound; None if it has none.
    told   what reading its schedules left out or took in another way than it is written.
    """

    parts: tuple[Part, ...]
    whole: str = ""
    left: tuple[str, ...] = ()
    fps: float = 0.0
    keep: str | None = None
    sound: Part | None = None
    told: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What the person who gave the job should know of how it is made."""
        whole = [f"made in one piece: {self.whole}"] if self.whole else []
        left = [f"left out, as they look at the film alone: node {', '.join(self.left)}"] if self.left else []
        return [*self.told, *whole, *left]


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
        return Cut((_whole(graph, ranks),), whole=why, told=check_schedules(graph))
    (stream,) = nodes_of(graph, STREAM)
    prompts = prompts_of(graph, stream)
    assert prompts is not None, "asked before"
    story = _Story(graph, stream, prompts, _known_chunk(graph, stream))
    parts: list[Part] = []
    ends = story.moments(every_s)
    for start, end in zip((0, *ends), ends, strict=False):
        parent = parts[-1].key if parts else None
        parts.append(story.part(start, end, parent, (content, ranks)))
    others = _outputs(graph, infos) - {stream}
    saves = [graph[id]["inputs"].get("content", "compact") for id in others if graph[id]["class_type"] == SAVE]
    left = tuple(sorted(id for id in others if graph[id]["class_type"] != SAVE))
    keep = saves[0] if saves else None
    told = tuple(map(str, story.placed.plan.notes))
    return Cut(tuple(parts), left=left, fps=story.grid.fps, keep=keep, sound=_sound(graph, stream), told=told)


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


def _sound(graph: Graph, stream: str) -> Part | None:
    """The part that writes what is linked to a film's `audio` to a file of its own."""
    link = graph[stream]["inputs"].get("audio")
    if not is_link(link):
        return None
    made = _bare(ancestors(graph, link[0]))
    inputs = {"audio": link, "filename_prefix": f"{FOLDER}/sound"}
    made[SOUND] = {"class_type": SAVE_SOUND, "inputs": inputs}
    return Part(_hash(made), None, made, prompt="sound")


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
    if is_link(node.get("state")):
        return "it goes on from a state"
    if is_link(node.get("audio")) and SAVE_SOUND not in infos:
        return f"it has sound, which only {SAVE_SOUND} can bring here"
    if any(is_link(node.get(name)) for name in ("length", "fps", "seed", "format", "save_output")):
        return "a link decides its length, fps, seed or format"
    prompts = prompts_of(graph, streams[0])
    if prompts is None:
        return "its prompts come from nodes that cannot be read here"
    frames = chunk_frames_of(graph, streams[0])
    if frames is None:
        return (
            "its model's name does not say how many latent frames make a chunk; MemFlow Model Profile behind the "
            "loader can say it"
        )
    grid, length = ChunkGrid(frames, float(node.get("fps", 16.0))), int(node["length"])
    if isinstance(prompts, ChainedPrompts) and not (
        length and grid.chunks_for_px(length) <= _longest_absolute(prompts.schedule, grid)
    ):
        return "its prompts stand in Prompt Segments, and it has no end or is longer than positions are absolute"
    memories = [node["inputs"] for node in ancestors(graph, streams[0]).values() if node.get("class_type") == MEMORY]
    if any(memory.get("look_ahead", False) is not False for memory in memories):
        return "its memory looks ahead, so that each part would need the prompts of all that follow"
    steered = [node["inputs"] for node in ancestors(graph, streams[0]).values() if node.get("class_type") == CONTROL]
    if any(_needs_length(time) for one in steered for time in (one.get("start"), one.get("end"))):
        return "a control's time is a link, or a share of a length that parts do not have"
    after = followers(graph, streams[0])
    for id in sorted(_outputs(graph, infos) - {streams[0]}):
        kind = graph[id]["class_type"]
        of_state = kind == SAVE and graph[id]["inputs"].get("state") == [streams[0], 1]
        if not of_state and (kind not in LOOKS or (id not in after and kind != "MemFlowExportJob")):
            return f"{kind} (node {id}) needs the whole film, or writes something else"
    return ""


def _needs_length(time: Any) -> bool:
    """Whether a control's time may be a share of the story's length: `50%`, `50 percent`; a link may be any."""
    if is_link(time):
        return True
    try:
        return bool(str(time or "").strip()) and parse_time(str(time)).unit == "percent"
    except ScheduleError:
        return True


def _known_chunk(graph: Graph, stream: str) -> int:
    frames = chunk_frames_of(graph, stream)
    assert frames is not None, "asked before"
    return frames


def _longest_absolute(schedule: PromptSchedule, grid: ChunkGrid) -> int:
    """Chunks of the longest story whose positions are absolute, which jumps move on and fresh prompts begin anew."""
    most = grid.chunks_for_px(MOST_FRAMES)

    def beyond(chunks: int) -> bool:
        # the farthest place never falls as a story gets longer
        changes, frames, offset = changes_of(schedule, grid, chunks), grid.latent_frames, MemoryConfig().shot_offset
        return farthest_position(changes, chunks, chunk_frames=frames, shot_offset=offset) > MAX_ABSOLUTE_FRAMES

    return bisect_left(range(1, most), True, key=beyond)


class _Story:
    """The one film of a graph, and graphs of its parts.

    chunk_frames  latent frames of a chunk of its model.
    """

    def __init__(self, graph: Graph, stream: str, prompts: Prompts, chunk_frames: int) -> None:
        inputs = graph[stream]["inputs"]
        self.stream = stream
        self.prompts = prompts
        # sound is laid under the whole film at the end
        silent = {name: value for name, value in inputs.items() if name not in ("audio", "audio_start")}
        graph = {**graph, stream: {**graph[stream], "inputs": silent}}
        self.needed = _bare(ancestors(graph, stream))
        try:
            grid = ChunkGrid(chunk_frames, float(inputs.get("fps", 16.0)))
            self.placed = Placed.of(prompts.schedule, grid, length=int(inputs["length"]))
        except ScheduleError as error:
            raise JobError(
                f"the schedule (node {inputs['schedule'][0]}): {error} --set length=N sets video frames."
            ) from None
        self.grid = self.placed.grid

    def moments(self, every_s: float) -> tuple[int, ...]:
        """Chunks at which a part ends: where a prompt changes, and so often that none is longer than `every_s`."""
        most = max(1, int(every_s * self.grid.fps / self.grid.chunk_px))
        ends: list[int] = []
        for segment in self.placed.plan.segments:
            ends += range(segment.start_chunk + most, segment.end_chunk, most)
            ends.append(segment.end_chunk)
        return tuple(ends)

    def part(self, start: int, end: int, parent: str | None, made_by: tuple[str, int]) -> Part:
        """One part; made_by: (content of moments, ranks), which decide its numbers beside the graph."""
        graph = copy.deepcopy(self.needed)
        self.prompts.end_at(graph, self.stream, end, self.placed)
        graph = ancestors(graph, self.stream)
        inputs = graph[self.stream]["inputs"]
        inputs |= {"length": self._length(start, end), "filename_prefix": f"{FOLDER}/part", "save_output": True}
        if parent is not None:
            inputs["state"] = [LOADED, 0]
            file = f"memflow_states/{state_name(parent)} [output]"
            graph[LOADED] = {"class_type": LOAD, "inputs": {"file": file}}
        key = _hash([graph, *made_by])
        prompt = self.placed.plan.segments[self.placed.plan.segment_at(start)].prompt
        return Part(key, parent, graph, self.stream, (start, end), prompt)

    def _length(self, start: int, end: int) -> int:
        """Video frames that the node is asked for: the most that leave positions as the whole story has them.

        A text says by itself that its part ends; a chain cannot, and is cut only where positions are absolute.
        """
        most = _longest_absolute(self.prompts.schedule, self.grid)
        if isinstance(self.prompts, ChainedPrompts):
            most = end
        elif self.placed.asked is None or self.placed.asked > most:
            most = self.grid.chunks_for_px(MOST_FRAMES) - 1
        elif len(self.placed.plan.story_starts) > 1:
            # the part's text knows of no fresh prompt behind its end
            most = _longest_absolute(self.placed.until(end), self.grid)
        return self.grid.px_frames(most) - self.grid.px_frames(start)


def _bare(graph: Graph) -> Graph:
    return {id: {name: node[name] for name in ("class_type", "inputs")} for id, node in copy.deepcopy(graph).items()}
