"""Write graphs as workflow files in the format of ComfyUI's front end, laid out by the schemas of the nodes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
_WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", _DYNAMIC_COMBO)
_OPTIONAL_SHAPE = 7
# Chinese titles of notes
NOTE_TITLES = {"Read me": "说明", "Try": "试试"}
_NOTE = {"color": "#432", "bgcolor": "#653"}


@dataclass
class Node:
    """A node of a graph. `node["name"]` is its output of that name, for another node's input.

    at, size  in the canvas's pixels.
    values    by input name: an output of another node, or a widget's value; the others keep their defaults. A combo
              with inputs of its own takes its choice, or a dict of its choice and theirs, by their names.
    control   what a seed does after each run.
    """

    type: str
    at: tuple[int, int]
    size: tuple[int, int]
    values: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    control: str = "fixed"
    models: Sequence[dict[str, str]] = ()

    def __getitem__(self, output: str) -> Output:
        return self, output


Output = tuple[Node, str]


@dataclass(frozen=True)
class Note:
    """Text on the canvas, in Markdown. chinese: what the page shows in its place in Chinese."""

    text: str
    chinese: str
    at: tuple[int, int]
    size: tuple[int, int]
    title: str = "Read me"


@dataclass(frozen=True)
class Group:
    """A frame with a title. box: left, top, width, height."""

    title: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class WorkflowSpec:
    """Content of a workflow file: its name without the ending, its nodes, notes and groups."""

    name: str
    nodes: Sequence[Node]
    notes: Sequence[Note]
    groups: Sequence[Group] = ()
    scale: float = 0.85


def workflow_json(spec: WorkflowSpec, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the file's JSON as the front end writes it.

    schemas  by node type, as `/object_info` has them.

    Raises KeyError for a node, input or output that the schemas do not have.
    """
    # later notes come behind the nodes, so that one more changes no node's id
    ids = {id(node): number for number, node in enumerate(spec.nodes, start=min(1, len(spec.notes)) + 1)}
    written = [_note(note, 1) for note in spec.notes[:1]]
    nodes = {id(node): _node(node, ids[id(node)], schemas[node.type]) for node in spec.nodes}
    links = []
    for node in spec.nodes:
        for name, value in node.values.items():
            if _is_output(value):
                links.append(_link(len(links) + 1, nodes[id(value[0])], value[1], nodes[id(node)], name))
    written += nodes.values()
    written += [_note(note, number) for number, note in enumerate(spec.notes[1:], start=len(written) + 1)]
    for order, node in enumerate(written):
        node["order"] = order
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"memflow/{spec.name}")),
        "revision": 0,
        "last_node_id": len(written),
        "last_link_id": len(links),
        "nodes": written,
        "links": links,
        "groups": [_group(group, number) for number, group in enumerate(spec.groups, start=1)],
        "config": {},
        "extra": {"ds": {"scale": spec.scale, "offset": [60, 120]}},
        "version": 0.4,
    }


def _note(note: Note, number: int) -> dict[str, Any]:
    made = _frame(number, "MarkdownNote", note.at, note.size)
    return made | {"title": note.title, "properties": {}, "widgets_values": [note.text], **_NOTE}


def _group(group: Group, number: int) -> dict[str, Any]:
    return {"id": number, "title": group.title, "bounding": list(group.box), "color": "#3f789e", "flags": {}}


def _frame(number: int, type: str, at: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    made = {"id": number, "type": type, "pos": list(at), "size": list(size), "flags": {}, "order": 0, "mode": 0}
    return made | {"inputs": [], "outputs": []}


def _node(node: Node, number: int, schema: dict[str, Any]) -> dict[str, Any]:
    made = _frame(number, node.type, node.at, node.size)
    sockets, widgets, values = [], [], []
    left = dict(node.values)
    for name, kind, options, required in _inputs(schema):
        slot = {"localized_name": name, "name": name, "type": kind}
        value = left.pop(name, None)
        if kind not in _WIDGETS or options.get("forceInput"):
            sockets.append(slot | ({} if required else {"shape": _OPTIONAL_SHAPE}) | {"link": None})
            continue
        for part, type, saved in _widgets(name, kind, options, None if _is_output(value) else value):
            widget = {"localized_name": part, "name": part, "type": type, "widget": {"name": part}, "link": None}
            widgets.append(widget)
            values += saved
        if options.get("control_after_generate"):
            values.append(node.control)
    if left:
        raise KeyError(f"{node.type} has no input {', '.join(sorted(left))}")
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
    """Return (name, type, options, whether it is required) of each input, in the order of the schema."""
    found = []
    for part in ("required", "optional"):
        for name in schema["input_order"].get(part, ()):
            kind, options = _declared(schema["input"][part][name])
            found.append((name, kind, options, part == "required"))
    return found


def _declared(declaration: Sequence[Any]) -> tuple[str, dict]:
    """Return (type, options) of an input's declaration."""
    kind, *options = declaration
    options = dict(options[0]) if options else {}
    return ("COMBO", {"options": kind, **options}) if isinstance(kind, list) else (kind, options)


def _widgets(name: str, kind: str, options: dict, value: Any) -> list[tuple[str, str, list[Any]]]:
    """Return (name, type, saved values) of an input's widgets; a combo with inputs of its own has theirs too."""
    by_name = dict(value) if isinstance(value, dict) else {name: value}
    chosen = by_name.pop(name, None)
    made = [(name, kind, _values(_default(kind, options) if chosen is None else chosen))]
    if kind == _DYNAMIC_COMBO:
        (own,) = [option["inputs"] for option in options["options"] if option["key"] == made[0][2][0]]
        for part in ("required", "optional"):
            for inner, declaration in own.get(part, {}).items():
                of, inner_options = _declared(declaration)
                given = by_name.pop(inner, None)
                given = _default(of, inner_options) if given is None else given
                made.append((f"{name}.{inner}", of, _values(given)))
    if by_name:
        raise KeyError(f"{name} has no input {', '.join(sorted(by_name))} of its own")
    return made


def _default(kind: str, options: dict[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    first = options["options"][0] if options.get("options") else ""
    return {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(kind, first["key"] if isinstance(first, dict) else first)


def _values(value: Any) -> list[Any]:
    """Return the saved values of a widget: two for one with a button, its value and the button's."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_output(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Node)


def _link(number: int, source: dict, output: str, target: dict, name: str) -> list[Any]:
    out = [slot["name"] for slot in source["outputs"]].index(output)
    into = [slot["name"] for slot in target["inputs"]].index(name)
    source["outputs"][out]["links"] = [*(source["outputs"][out]["links"] or ()), number]
    target["inputs"][into]["link"] = number
    return [number, source["id"], out, target["id"], into, source["outputs"][out]["type"]]
