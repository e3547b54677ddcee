"""What a graph says of a story before it runs: digests that tell one story from another without loading anything.

A run knows its story by the numbers that it is made from. A page has the graph alone: nodes, their values, and the
files that these name. So a run writes, beside what it keeps, what its graph says too, and a page can look there. Two
graphs that say the same may still load other numbers, where something has changed that no graph shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ...memflow_core.config import MemoryConfig
from ...memflow_core.keep import NUMBERS, Fingerprint, LabelName, beginning, place_of
from ...memflow_core.profiles import AUTO
from ...memflow_core.schedule import Plan, PromptSchedule, ScheduleError, Stretch
from ...memflow_core.stream import ControlPart
from .. import host
from .control_plan import place_controls, stretch_of
from .graphs import Graph, is_link, linked_node, node_of
from .request import PlanRequest

# inputs of a sampling node that decide a story's numbers, beside schedule, seed, and length
COUNTED = ("model", "vae", "memory", "width", "height", "steps", "shift")
SCHEDULE_NODE, CONTROL_NODE, MEMORY_NODE = "MemFlowPromptSchedule", "MemFlowControl", "MemFlowMemory"
# nodes behind one another, in case they form a circle
MOST_DEPTH = 200

"""A prompt as ComfyUI's API takes it: `{id: {"class_type", "inputs"}}`."""


@dataclass(frozen=True)
class KnownControl:
    """What a graph says of a control.

    identity  of its pictures, their mask and use, and what reads them.
    """

    stretch: Stretch
    strength: float
    use: str
    identity: str
    # the graph does not tell how many pictures there are
    known_frames: None = None


@dataclass(frozen=True)
class KnownStory:
    """What a graph says of all that a story is made with, but its schedule and seed: `keep.Made`.

    live_alike  whether live prompts are read by the text encoder of the schedule.
    steered_by  controls; none where they are in the digest, since they are not known one by one.
    controls    the same on a plan's video frames.
    """

    digest: str
    start: str = ""
    live_alike: bool = True
    steered_by: tuple[KnownControl, ...] = ()
    controls: tuple[ControlPart, ...] = ()

    def until(self, seed: int, plan: Plan, prompts: PromptSchedule, chunk: int) -> str:
        """The digest by which the beginning up to a chunk is known."""
        return beginning(self._on(plan), seed, plan, _texts(prompts), (), chunk)

    def place(self, seed: int, plan: Plan, prompts: PromptSchedule, number: int) -> str:
        """The digest by which a segment's place is known."""
        return place_of(self._on(plan), seed, plan, _texts(prompts), (), number)

    def label(self, seed: int, plan: Plan, prompts: PromptSchedule, *, digest: str, first: int, end: int) -> LabelName:
        """The name of the label of a part: chunks from `first` to `end`."""
        place = self.place(seed, plan, prompts, plan.segment_at(first))
        return LabelName(digest, first, self.digest, self.until(seed, plan, prompts, end), place)

    def _on(self, plan: Plan) -> KnownStory:
        """The story with its controls on the plan's video frames. Raises ScheduleError for two that overlap."""
        parts = []
        for placed in place_controls(self.steered_by, plan.grid, plan.chunks)[0]:
            control = self.steered_by[placed.number]
            # films are read at the story's frame rate
            identity = f"{control.identity} {control.use} {plan.grid.fps:g}"
            if control.strength:
                parts.append(ControlPart(placed.start_px, placed.end_px, control.strength, identity))
        return replace(self, controls=tuple(parts))


def _texts(prompts: PromptSchedule) -> list[str]:
    """Prompts with the global one, as the text encoder reads them, and the files of their LoRAs."""
    used = [[lora for lora in segment.loras if lora.strength] for segment in prompts.segments]
    names = {lora.name for loras in used for lora in loras}
    files = _files_of(names) if names else {}
    both = zip(prompts.full_prompts(), used, strict=True)
    return ["\n".join((text, *(f"[{one}] {files[one.name]}" for one in loras))) for text, loras in both]


def _files_of(names: Iterable[str]) -> dict[str, str]:
    """The file of each LoRA, with what tells its content from others."""
    there, found = host.LoraFiles(), {}
    for name in names:
        try:
            file = there.find(name)
        except ValueError:
            file = name
        found[name] = f"{file} {host.stamps_of(file)}"
    return found


def known_by(hidden: Any, request: PlanRequest) -> KnownStory | None:
    """What the graph that is running says of the story of the node that runs. hidden: of the node's class."""
    graph, node_id = getattr(hidden, "prompt", None), host.Page().node_id
    return known_story(graph, node_id, request.positions, request.opened) if graph and node_id else None


def known_story(
    graph: Any, node_id: str, positions: str, opened: Mapping[str, Any] = MappingProxyType({})
) -> KnownStory | None:
    """What a graph says of the story that a sampling node makes. None where that does not tell one from another: a
    state or a schedule that other nodes make, a value that only a run computes, or a graph of another form.

    positions  `absolute` or `relative`, as settled.
    opened     memory settings that are left to the model, and what they became.
    """
    node = node_of(graph, node_id)
    if node is None or "state" in node["inputs"]:
        return None
    schedule = linked_node(graph, node["inputs"].get("schedule"))
    if schedule is None or schedule["class_type"] != SCHEDULE_NODE:
        return None
    found = Fingerprint()
    try:
        found.add("machine", [NUMBERS, *host.arithmetic_of_host()])
        found.add("positions", positions)
        found.add("kind", node["class_type"])
        graph, untold = _without_auto(graph, node, opened)
        read = _Reader(graph)
        for name in COUNTED:
            found.add(name, read.value(node["inputs"].get(name)))
        if untold:
            found.add("auto", untold)
        steered_by: tuple[KnownControl, ...] = ()
        if "control" in node["inputs"]:
            known = _known_controls(graph, read, node["inputs"]["control"])
            steered_by = known or ()
            if known is None:
                found.add("control", read.value(node["inputs"]["control"]))
        clip = read.value(schedule["inputs"].get("clip"))
        found.add("clip", clip)
        live = node["inputs"].get("clip")
        return KnownStory(found.hex(), live_alike=live is None or read.value(live) == clip, steered_by=steered_by)
    except (_UntoldError, host.UnknownKindError):
        return None


def seed_in(graph: Any, node_id: str) -> int | None:
    """The seed that a sampling node's widget says; None where it comes over a link."""
    node = node_of(graph, node_id)
    seed = None if node is None else node["inputs"].get("seed")
    return seed if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else None


def budget_in(graph: Any, node_id: str) -> float | None:
    """GB that a sampling node's widget lets it keep, -1 for as much as usual; None where it comes over a link."""
    node = node_of(graph, node_id)
    gb = None if node is None else node["inputs"].get("keep_moments_gb", -1.0)
    return float(gb) if isinstance(gb, (int, float)) and not isinstance(gb, bool) else None


def settings_in(graph: Any, node_id: str) -> dict[str, str]:
    """Values of a sampling node's widgets that are texts, such as its format."""
    node = node_of(graph, node_id)
    return {name: value for name, value in (node or {"inputs": {}})["inputs"].items() if isinstance(value, str)}


def _without_auto(graph: Graph, node: Any, opened: Mapping[str, Any]) -> tuple[Graph, dict[str, Any]]:
    """The graph with what `auto` became in its place on the memory node, so that it is the same story as by name; and
    what is left to the model and does not stand there, where it is not the paper's."""
    link, written = node["inputs"].get("memory"), {}
    memory = linked_node(graph, link)
    if memory is not None and memory["class_type"] == MEMORY_NODE:
        written = {name: value for name, value in opened.items() if memory["inputs"].get(name) == AUTO}
        graph = {**graph, str(link[0]): {**memory, "inputs": {**memory["inputs"], **written}}}
    usual = MemoryConfig()
    others = {name: value for name, value in opened.items() if name not in written}
    return graph, {name: value for name, value in others.items() if value != getattr(usual, name)}


class _UntoldError(ValueError):
    """A graph that does not tell what goes into a story."""


class _Reader:
    """Reads what stands behind inputs of a graph, each node once."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._known: dict[str, str] = {}

    def value(self, value: Any, depth: int = 0) -> Any:
        """What an input holds, fit for JSON: for a link, a digest of all nodes behind it."""
        if not is_link(value):
            if isinstance(value, float) and value.is_integer():
                # scripts write 5.0 where pages write 5
                value = int(value)
            return [value, host.stamps_of(value) if isinstance(value, str) else []]
        node = linked_node(self._graph, value)
        if node is None or depth > MOST_DEPTH:
            raise _UntoldError
        place = str(value[0])
        if place not in self._known:
            found = Fingerprint()
            found.add("kind", node["class_type"])
            for name in sorted(node["inputs"]):
                found.add(name, self.value(node["inputs"][name], depth + 1))
            self._known[place] = found.hex()
        return [self._known[place], value[1]]


def _known_controls(graph: Graph, read: _Reader, link: Any) -> tuple[KnownControl, ...] | None:
    """The controls that come over a link; None where other nodes make one, or a value of it."""
    found: list[KnownControl] = []
    while link is not None:
        node = linked_node(graph, link)
        if node is None or node["class_type"] != CONTROL_NODE or len(found) == MOST_DEPTH:
            return None
        inputs = dict(node["inputs"])
        link = inputs.pop("control", None)
        texts = [inputs.pop(name, None) for name in ("start", "end", "use")]
        strength = inputs.pop("strength", None)
        if not isinstance(strength, (int, float)) or not all(isinstance(text, str) for text in texts):
            return None
        start, end, use = map(str, texts)
        identity = Fingerprint()
        for name in sorted(inputs):
            identity.add(name, read.value(inputs[name]))
        try:
            found.append(KnownControl(stretch_of(start, end), float(strength), use, identity.hex()))
        except ScheduleError:
            return None
    return tuple(reversed(found))
