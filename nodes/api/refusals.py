"""What of a graph cannot be run, as far as its widgets tell: said as it is queued, before any file is read.

A run finds the same when it comes to the sampling node, by then with the model in memory and all prompts encoded.
Where a node computes a value, or a state is connected, only the run knows. The page reads its plan from its own nodes
in the same manner: `web/js/plan/request.js`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...memflow_core.config import SamplingConfig
from ...memflow_core.profiles import AUTO, PROFILES, pick, signs_of_name
from ...memflow_core.schedule import read_story
from .. import host
from ..run import check_use, is_link, node_of, parse_steps
from .bodies import BadBody
from .plan import check_runs, read_plan

SAMPLERS = {"MemFlowSampler": False, "MemFlowStreamToVideo": True}  # whether the run is streamed
UNITS = {"seconds": "start_s", "frames": "frame", "chunks": "chunk"}
# nodes that hand on the profile of the model that comes in
TRANSPARENT = ("MemFlowProfile", "MemFlowLoadControl", "LoraLoaderModelOnly", "LoraLoader", "ModelSamplingSD3")
PRIMITIVES = ("PrimitiveInt", "PrimitiveFloat", "PrimitiveString", "PrimitiveStringMultiline")
LOADERS = ("MemFlowTinyStory", "MemFlowLoadModel")
PROFILE_VALUES = ("profile", "chunk_frames", "first_steps")
NESTED = "preset."
MOST_STEPS = 1000


def refusal(graph: Any, node_id: str) -> str | None:
    """Why a sampling node of a graph cannot be run, in one sentence; None where that is not known before it does."""
    try:
        story = _Asked(graph, node_id)
        if (said := _refused_steps(story) or _refused_controls(story)) is not None:
            return said
        asked, is_model_known = story.plan()
        asked = read_plan(asked)
    except (_UnknownError, BadBody):
        return None
    try:
        check_runs(asked)
    except ValueError as error:
        # what another kind of model would run is left to the run, which has the model
        is_refused = is_model_known or not any(_runs(asked | {"profile": name}) for name in PROFILES)
        return host.sentence(error) if is_refused else None
    return None


def _refused_steps(story: _Asked) -> str | None:
    """What is wrong with the steps, whatever else is known."""
    steps = story.steps()
    try:
        if steps is not None:
            SamplingConfig(parse_steps(steps))
    except ValueError as error:
        return host.sentence(error)
    return None


def _refused_controls(story: _Asked) -> str | None:
    """What is wrong with a control by itself, in a story that goes on from a state too."""
    try:
        for one in story.controls():
            if isinstance(one["strength"], (int, float)):
                check_use(one["use"], one["strength"], masked=one["masked"])
    except _UnknownError:
        return None
    except ValueError as error:
        return host.sentence(error)
    return None


def _runs(asked: dict[str, Any]) -> bool:
    try:
        check_runs(asked)
    except ValueError:
        return False
    return True


class _UnknownError(Exception):
    """A value that only the run has, or a graph of another form."""


class _Asked:
    """Reads what a sampling node is asked for from the values of a graph: `{id: {"class_type", "inputs"}}`."""

    def __init__(self, graph: Any, node_id: str):
        self._graph = graph
        self._sampler = self._node(node_id)

    def steps(self) -> str | None:
        """The widget; None where another node gives it, or the node is no sampling node."""
        value = self._sampler["inputs"].get("steps")
        return value if isinstance(value, str) and self._sampler["class_type"] in SAMPLERS else None

    def plan(self) -> tuple[dict[str, Any], bool]:
        """A plan's body, as POST /memflow/plan takes it, and whether the model's profile is known for sure.

        Raises _UnknownError.
        """
        kind = self._sampler["class_type"]
        if kind not in SAMPLERS or "state" in self._sampler["inputs"]:
            raise _UnknownError
        names = ("length", "fps", "width", "height", "steps", "shift")
        values = {name: self._value(self._sampler, name) for name in names}
        model, is_known = self._model()
        return {**self._schedule(), "memory": self._memory(), **values, **model, "streamed": SAMPLERS[kind]}, is_known

    def _node(self, node_id: Any) -> Mapping[str, Any]:
        node = node_of(self._graph, node_id)
        if node is None:
            raise _UnknownError
        return node

    def _source(self, node: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        """The node that is linked to an input; None where nothing is."""
        link = node["inputs"].get(name)
        if link is None:
            return None
        if not is_link(link):
            raise _UnknownError
        return self._node(link[0])

    def _value(self, node: Mapping[str, Any], name: str) -> Any:
        """A widget's value, or that of the primitive node that is linked to it."""
        if name not in node["inputs"]:
            raise _UnknownError
        value = node["inputs"][name]
        if not isinstance(value, list):
            return value
        source = self._source(node, name)
        if source is None or source["class_type"] not in PRIMITIVES or isinstance(source["inputs"].get("value"), list):
            raise _UnknownError
        return source["inputs"].get("value")

    def _schedule(self) -> dict[str, Any]:
        source = self._source(self._sampler, "schedule")
        if source is None:
            raise _UnknownError
        if source["class_type"] != "MemFlowPromptSchedule":
            return {"schedule": self._segments(source)}
        text, story = self._value(source, "prompts"), self._value(source, "story") if "story" in source["inputs"] else 1
        if not isinstance(text, str) or not isinstance(story, int):
            raise _UnknownError
        if not isinstance(source["inputs"]["prompts"], list):
            try:
                host.check_loras(read_story(text, story))
            except ValueError as error:
                # that node says so itself
                raise _UnknownError from error
        more = self._value(source, "global_prompt") if "global_prompt" in source["inputs"] else ""
        return {"schedule": text, "story": story, "global_prompt": more}

    def _chain(self, last: Mapping[str, Any] | None, kind: str, name: str) -> list[Mapping[str, Any]]:
        """Nodes of a kind that are linked one behind another by an input, the first one first."""
        found: list[Mapping[str, Any]] = []
        while last is not None:
            if last["class_type"] != kind or len(found) == MOST_STEPS:
                raise _UnknownError
            found.insert(0, last)
            last = self._source(last, name)
        return found

    def _segments(self, last: Mapping[str, Any]) -> list[dict[str, Any]]:
        segments = []
        for number, node in enumerate(self._chain(last, "MemFlowPromptSegment", "schedule"), 1):
            unit, switch = self._value(node, "unit"), self._value(node, "switch")
            if not isinstance(unit, str) or unit not in UNITS:
                raise _UnknownError
            segment = {UNITS[unit]: self._value(node, "start"), "prompt": f"segment {number}", "switch": switch}
            if switch == "blend":
                segment["blend"] = {"s": self._value(node, "blend"), "path": self._value(node, "blend_path")}
            segments.append(segment)
        return segments

    def _memory(self) -> dict[str, Any] | None:
        source = self._source(self._sampler, "memory")
        if source is None:
            return None
        if source["class_type"] != "MemFlowMemory":
            raise _UnknownError
        return {name.removeprefix(NESTED): self._value(source, name) for name in source["inputs"]}

    def controls(self) -> list[dict[str, Any]]:
        """As a plan's body has them. Raises _UnknownError."""
        nodes = self._chain(self._source(self._sampler, "control"), "MemFlowControl", "control")
        names = ("start", "end", "strength", "use")
        return [{n: self._value(node, n) for n in names} | {"masked": "mask" in node["inputs"]} for node in nodes]

    def _model(self) -> tuple[dict[str, Any], bool]:
        """What the plan has of the model, and whether its profile is known."""
        node, path = self._source(self._sampler, "model"), []
        while node is not None and node["class_type"] in TRANSPARENT and len(path) < MOST_STEPS:
            path.append(node)
            node = self._source(node, "model")
        asked, is_known = self._loaded(node)
        profiles = [one for one in path if one["class_type"] == "MemFlowProfile"]
        if len(profiles) > 1:
            raise _UnknownError
        for said in profiles:
            own = {name: self._value(said, name) for name in PROFILE_VALUES if name in said["inputs"]}
            if own.get("profile", AUTO) == AUTO:
                own.pop("profile", None)
            asked |= own
            is_known = is_known or "profile" in own
        if path and node is None:
            raise _UnknownError
        loaded = any(one["class_type"] == "MemFlowLoadControl" for one in path)
        has_weights = loaded or node is None or node["class_type"] not in LOADERS
        return asked | {"control": self.controls(), "control_weights": has_weights}, is_known

    def _loaded(self, loader: Mapping[str, Any] | None) -> tuple[dict[str, Any], bool]:
        """The same of the node that loads the model."""
        kind = None if loader is None else loader["class_type"]
        if kind == "MemFlowTinyStory":
            return {"model": "tiny"}, True
        if loader is None or kind != "MemFlowLoadModel":
            return {}, False
        file, lora = self._value(loader, "model_name"), self._value(loader, "lora_name")
        profile = self._value(loader, "profile") if "profile" in loader["inputs"] else AUTO
        if not isinstance(file, str) or not isinstance(lora, str):
            raise _UnknownError
        lora = "" if lora == "none" else lora
        asked = {"model_name": file, "lora_name": lora, "profile": profile}
        return asked, profile != AUTO or _is_named(file, lora)


def _is_named(file: str, lora: str) -> bool:
    """Whether the loader knows a model's profile, or that it cannot be streamed, by its name."""
    try:
        return pick(signs_of_name(file, lora)).why == "name"
    except ValueError:
        return True
