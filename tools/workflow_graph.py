"""Graphs as the front end writes them into workflow files, laid out by the schemas of the nodes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3")
_OPTIONAL_SHAPE = 7
_NOTE = {"color": "#432", "bgcolor": "#653"}


@dataclass
class Node:
    """A node of a graph. `node["name"]` is its output of that name, for another node's input.

    at, size  in the canvas's pixels.
    values    by input name: an output of another node, or a widget's value; the others keep their defaults.
    control   what a seed does after each run.
    """

    type: str
    at: tuple[int, int]
    size: tuple[int, int]
    values: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    control: str = "fixed"
    models: Sequence[dict[str, str]] = ()

    def __getitem__(self, output: str) -> tuple[Node, str]:
        return self, output


@dataclass(frozen=True)
class Note:
    """Text on the canvas, in Markdown."""

    text: str
    at: tuple[int, int]
    size: tuple[int, int]


@dataclass(frozen=True)
class Story:
    """A workflow file: its name without the ending, its nodes and notes."""

    name: str
    nodes: Sequence[Node]
    notes: Sequence[Note]
    scale: float = 0.85


def workflow(story: Story, schemas: dict[str, Any]) -> dict[str, Any]:
    """The file's content as the front end writes it. Raises KeyError for a node, input or output that is not there."""
    ids = {id(node): number for number, node in enumerate(story.nodes, start=len(story.notes) + 1)}
    written = [_note(note, number) for number, note in enumerate(story.notes, start=1)]
    nodes = {id(node): _node(node, ids[id(node)], schemas[node.type]) for node in story.nodes}
    links = []
    for node in story.nodes:
        for name, value in node.values.items():
            if _is_output(value):
                links.append(_link(len(links) + 1, nodes[id(value[0])], value[1], nodes[id(node)], name))
    written += nodes.values()
    for order, node in enumerate(written):
        node["order"] = order
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"memflow/{story.name}")),
        "revision": 0,
        "last_node_id": len(written),
        "last_link_id": len(links),
        "nodes": written,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"ds": {"scale": story.scale, "offset": [60, 120]}},
        "version": 0.4,
    }


def _note(note: Note, number: int) -> dict[str, Any]:
    made = _frame(number, "MarkdownNote", note.at, note.size)
    return made | {"title": "Read me", "properties": {}, "widgets_values": [note.text], **_NOTE}


def _frame(number: int, type: str, at: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    made = {"id": number, "type": type, "pos": list(at), "size": list(size), "flags": {}, "order": 0, "mode": 0}
    return made | {"inputs": [], "outputs": []}


def _node(node: Node, number: int, schema: dict[str, Any]) -> dict[str, Any]:
    made = _frame(number, node.type, node.at, node.size)
    sockets, widgets, values = [], [], []
    unknown = set(node.values)
    for name, kind, options, required in _inputs(schema):
        unknown.discard(name)
        slot = {"localized_name": name, "name": name, "type": kind}
        if kind not in _WIDGETS or options.get("forceInput"):
            sockets.append(slot | ({} if required else {"shape": _OPTIONAL_SHAPE}) | {"link": None})
            continue
        widgets.append(slot | {"widget": {"name": name}, "link": None})
        value = node.values.get(name)
        values += _values(_default(kind, options) if value is None or _is_output(value) else value)
        if options.get("control_after_generate"):
            values.append(node.control)
    if unknown:
        raise KeyError(f"{node.type} has no input {', '.join(sorted(unknown))}")
    made["inputs"] = sockets + widgets
    made["outputs"] = [
        {"localized_name": name, "name": name, "type": kind, "links": None}
        for name, kind in zip(schema["output_name"], schema["output"], strict=True)
    ]
    if node.title:
        made["title"] = node.title
    made["properties"] = {"Node name for S&R": node.type} | ({"models": list(node.models)} if node.models else {})
    return made | {"widgets_values": values}


def _inputs(schema: dict[str, Any]) -> list[tuple[str, str, dict, bool]]:
    """(name, type, options, whether it is required), in the order of the schema."""
    found = []
    for part in ("required", "optional"):
        for name in schema["input_order"].get(part, ()):
            kind, *options = schema["input"][part][name]
            options = dict(options[0]) if options else {}
            if isinstance(kind, list):
                kind, options = "COMBO", {"options": kind, **options}
            found.append((name, kind, options, part == "required"))
    return found


def _default(kind: str, options: dict[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    first = options["options"][0] if options.get("options") else ""
    return {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(kind, first["key"] if isinstance(first, dict) else first)


def _values(value: Any) -> list[Any]:
    """A combo with inputs of its own takes a list: the choice, then theirs."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_output(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Node)


def _link(number: int, source: dict, output: str, target: dict, name: str) -> list[Any]:
    out = [slot["name"] for slot in source["outputs"]].index(output)
    into = [slot["name"] for slot in target["inputs"]].index(name)
    source["outputs"][out]["links"] = [*(source["outputs"][out]["links"] or ()), number]
    target["inputs"][into]["link"] = number
    return [number, source["id"], out, target["id"], into, source["outputs"][out]["type"]]
