"""Look into graphs of the API form, change them, and find what the server would refuse."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

from .convert import Graph, is_link
from .errors import JobError, cut
from .widgets import widget_places

STREAM, SAMPLER = "MemFlowStreamToVideo", "MemFlowSampler"
CONTROL = "MemFlowControl"
MEMORY = "MemFlowMemory"
SCHEDULE, SEGMENT = "MemFlowPromptSchedule", "MemFlowPromptSegment"
SEEDS = ("seed", "noise_seed")


def nodes_of(graph: Graph, kind: str) -> list[str]:
    """Ids of the nodes of a type."""
    return [id for id, node in graph.items() if node["class_type"] == kind]


def sources(node: Mapping[str, Any]) -> Iterator[str]:
    """Ids of the nodes that a node's links come from."""
    return (value[0] for value in node["inputs"].values() if is_link(value))


def ancestors(graph: Graph, *ids: str) -> Graph:
    """The part of a graph that some nodes need, themselves included, in the order of the graph."""
    needed: set[str] = set()
    waiting = list(ids)
    while waiting:
        id = waiting.pop()
        if id not in needed:
            needed.add(id)
            waiting += sources(graph[id])
    return {id: node for id, node in graph.items() if id in needed}


def followers(graph: Graph, id: str) -> set[str]:
    """Ids of all nodes that need a node, directly or not."""
    found: set[str] = set()
    waiting = [id]
    while waiting:
        before = waiting.pop()
        for other, node in graph.items():
            if other not in found and before in sources(node):
                found.add(other)
                waiting.append(other)
    return found


# -- changing ---------------------------------------------------------------------------------------------------------


def set_inputs(
    graph: Graph, workflow: dict[str, Any] | None, changes: Mapping[tuple[str, str], Any], infos: Mapping[str, Any]
) -> tuple[Graph, dict[str, Any] | None]:
    """A graph, and the workflow that it came from, with other values, by (node id, input).

    The workflow is None where there was none, or where a value stands in a place of it that several nodes share.
    """
    graph, workflow = copy.deepcopy(graph), copy.deepcopy(workflow)
    for (id, name), value in changes.items():
        graph[id]["inputs"][name] = value
        if workflow is not None and not _set_widget(workflow, id, name, value, infos):
            workflow = None
    return graph, workflow


def _set_widget(workflow: dict[str, Any], id: str, name: str, value: Any, infos: Mapping[str, Any]) -> bool:
    for node in workflow["nodes"]:
        if str(node["id"]) == id:
            places = widget_places(node, infos[node["type"]])
            if name in places:
                node["widgets_values"][places[name]] = value
                return True
    return False


def find_inputs(graph: Graph, key: str) -> list[tuple[str, str]]:
    """(node id, input) of what `--set KEY=...` names: `input`, `NODE.input` with the node's id, type or title.

    Raises JobError if nothing has that name, or if nodes of several types have it.
    """
    found = list(_named(graph, key))
    if not found:
        known = sorted(
            {name for node in graph.values() for name, value in node["inputs"].items() if not is_link(value)}
        )
        raise JobError(f"--set {key}: the story has no such setting; it has {', '.join(known)}.")
    kinds = sorted({graph[id]["class_type"] for id, _ in found})
    if len(kinds) > 1:
        first = f"{kinds[0]}.{found[0][1]}"
        raise JobError(f"--set {key}: {' and '.join(kinds)} have it: name one, as in --set {first}=...")
    return found


def _named(graph: Graph, key: str) -> Iterator[tuple[str, str]]:
    for id, node in graph.items():
        names = {id, node["class_type"], str(node.get("_meta", {}).get("title"))}
        for name, value in node["inputs"].items():
            if not is_link(value) and (key == name or any(key == f"{owner}.{name}" for owner in names)):
                yield id, name


def seed_inputs(graph: Graph) -> list[tuple[str, str]]:
    """(node id, input) of the seeds that `--seeds` sets: those of MemFlow's samplers, or else of any node."""
    found = [
        (id, name)
        for id, node in graph.items()
        for name, value in node["inputs"].items()
        if name in SEEDS and not is_link(value)
    ]
    ours = [(id, name) for id, name in found if graph[id]["class_type"] in (STREAM, SAMPLER)]
    if not found:
        raise JobError("--seeds: no node of the story has a seed to set.")
    return ours or found


# -- checking ---------------------------------------------------------------------------------------------------------


def check_graph(graph: Graph, infos: Mapping[str, Any]) -> None:
    """Raise JobError for the first fault that the server would refuse: types, links, numbers, what is missing.

    Choices of files are left to the server that has them.
    """
    for id, node in graph.items():
        if not isinstance(node.get("inputs"), dict) or not isinstance(node["class_type"], str):
            raise JobError(f"node {id} is damaged: it needs a class_type and inputs.")
        if node["class_type"] not in infos:
            raise JobError(
                f"this ComfyUI has no node {cut(node['class_type'])} (node {id}): install the pack that it is from."
            )
    for id in graph:
        _check_node(graph, id, infos)
    if not any(infos[node["class_type"]].get("output_node") for node in graph.values()):
        raise JobError("no node of the story writes anything: add MemFlow Stream to Video, or another output node.")


def _check_node(graph: Graph, id: str, infos: Mapping[str, Any]) -> None:
    node = graph[id]
    label = f"{node['class_type']} (node {id})"
    info = infos[node["class_type"]]
    specs = {**info["input"].get("optional", {}), **info["input"].get("required", {})}
    for name in info["input"].get("required", {}):
        if not any(given == name or given.startswith(f"{name}.") for given in node["inputs"]):
            raise JobError(f"{label} has no {name}: connect it, or give it a value.")
    for name, value in node["inputs"].items():
        if is_link(value):
            _check_link(graph, f"{label}, {name}", value, infos)
        elif name in specs:
            _check_value(f"{label}, {name}", value, specs[name])


def _check_link(graph: Graph, label: str, link: list[Any], infos: Mapping[str, Any]) -> None:
    origin = graph.get(link[0])
    if origin is None:
        raise JobError(f"{label}: it is linked to node {cut(link[0])}, which is not there: link it to another.")
    outputs = infos[origin["class_type"]].get("output") or []
    if not 0 <= link[1] < len(outputs):
        raise JobError(f"{label}: it is linked to output {link[1]} of node {link[0]}, which has {len(outputs)}.")


_KINDS = {"INT": (int, "a whole number"), "FLOAT": ((int, float), "a number"), "STRING": (str, "text")}


def _check_value(label: str, value: Any, spec: Any) -> None:
    kind, options = spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    if not isinstance(kind, str) or kind not in _KINDS:
        return
    types, word = _KINDS[kind]
    if kind in ("INT", "FLOAT") and isinstance(value, str):
        # the server reads numbers that are written as text
        try:
            value = int(value) if kind == "INT" else float(value)
        except ValueError:
            raise JobError(f"{label} is {cut(value)}, but must be {word}.") from None
    whole = kind == "INT" and isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (isinstance(value, types) or whole):
        raise JobError(f"{label} is {cut(value)}, but must be {word}.")
    if kind in ("INT", "FLOAT"):
        low, high = options.get("min", -math.inf), options.get("max", math.inf)
        if not low <= value <= high:
            raise JobError(f"{label} is {value}, but must be from {low} to {high}.")
