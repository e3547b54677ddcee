"""Follow the links of a saved workflow to the nodes or values that they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import JobError

MUTED, BYPASSED = 2, 4  # litegraph's modes of a node
NEVER = (MUTED, BYPASSED)
ONLY_ON_THE_PAGE = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode", "SetNode", "GetNode"}
INPUTS_OF_SUBGRAPH, OUTPUTS_OF_SUBGRAPH = -10, -20  # ids of a subgraph's two edges
DEEPEST = 200


@dataclass(frozen=True)
class Source:
    """Where a link comes from: an output of a node that runs, or, with no path, a value."""

    path: str | None = None
    slot: int = 0
    value: Any = None


@dataclass(frozen=True)
class Link:
    origin: int | str
    origin_slot: int
    target: int | str
    target_slot: int
    kind: Any


@dataclass
class Scope:
    """One level of a workflow: the whole, or the inside of one subgraph node.

    subgraphs  definitions by id, of the whole workflow.
    parent     the scope outside and the subgraph node there; None for the whole.
    """

    nodes: dict[str, Mapping[str, Any]]
    links: dict[Any, Link]
    subgraphs: Mapping[str, Mapping[str, Any]]
    prefix: str = ""
    parent: tuple[Scope, Mapping[str, Any]] | None = None
    _inside: dict[str, Scope] = field(default_factory=dict)

    def path(self, id: object) -> str:
        """The node's id in the API form: `outer:inner` within a subgraph."""
        return f"{self.prefix}{id}"

    def inside(self, node: Mapping[str, Any]) -> Scope | None:
        """The scope inside a subgraph node; None for any other node."""
        definition = self.subgraphs.get(node["type"])
        if definition is None:
            return None
        key = str(node["id"])
        if key not in self._inside:
            prefix = f"{self.prefix}{key}:"
            if prefix.count(":") > 20:
                raise JobError(f"subgraph {definition.get('name', node['type'])!r} holds itself: take it out.")
            self._inside[key] = _scope(definition, self.subgraphs, prefix, (self, node))
        return self._inside[key]


def open_scope(workflow: Mapping[str, Any]) -> Scope:
    """The outermost scope of a workflow file's JSON."""
    definitions = (workflow.get("definitions") or {}).get("subgraphs") or []
    return _scope(workflow, {item["id"]: item for item in definitions}, "", None)


def _scope(
    content: Mapping[str, Any],
    subgraphs: Mapping[str, Mapping[str, Any]],
    prefix: str,
    parent: tuple[Scope, Mapping[str, Any]] | None,
) -> Scope:
    nodes = {str(node["id"]): node for node in content["nodes"]}
    return Scope(nodes, dict(map(_link, content.get("links") or ())), subgraphs, prefix, parent)


def _link(link: Any) -> tuple[Any, Link]:
    if isinstance(link, Mapping):
        ends = (link["origin_id"], link["origin_slot"], link["target_id"], link["target_slot"])
        return link["id"], Link(*ends, link.get("type"))
    number, origin, origin_slot, target, target_slot = link[:5]
    return number, Link(origin, origin_slot, target, target_slot, link[5] if len(link) > 5 else None)


def resolve(scope: Scope, link: Any, depth: int = 0) -> Source | None:
    """Where a link, by its number, comes from; None if from nothing that runs. Raises JobError for a circle."""
    found = scope.links.get(link)
    if found is None:
        return None
    if depth > DEEPEST:
        raise JobError("the workflow's links run in a circle: cut one of them.")
    return _output(scope, found.origin, found.origin_slot, found.kind, depth + 1)


def _output(scope: Scope, id: int | str, slot: int, kind: Any, depth: int) -> Source | None:
    if id == INPUTS_OF_SUBGRAPH:
        return _from_outside(scope, slot, depth)
    node = scope.nodes[str(id)]
    if node.get("mode", 0) == MUTED:
        return None
    if node["type"] == "Reroute":
        return _input(scope, node, 0, depth)
    if node.get("mode", 0) == BYPASSED:
        return _through(scope, node, slot, kind, depth)
    if node["type"] == "PrimitiveNode":
        return Source(value=(node.get("widgets_values") or [None])[0])
    if node["type"] == "SetNode":
        return _input(scope, node, 0, depth)
    if node["type"] == "GetNode":
        return _input(scope, _set_node(scope, node), 0, depth)
    inner = scope.inside(node)
    if inner is None:
        return Source(scope.path(id), slot)
    place = _output_of_definition(scope, node, slot)
    for number, link in inner.links.items():
        if link.target == OUTPUTS_OF_SUBGRAPH and link.target_slot == place:
            return resolve(inner, number, depth)
    return None


def _output_of_definition(scope: Scope, node: Mapping[str, Any], slot: int) -> int:
    """The number that the definition of a subgraph gives to an output of its node."""
    outputs = node.get("outputs") or []
    names = [item["name"] for item in scope.subgraphs[node["type"]].get("outputs") or ()]
    name = outputs[slot]["name"] if slot < len(outputs) else None
    return names.index(name) if name in names else slot


def _from_outside(scope: Scope, slot: int, depth: int) -> Source | None:
    """What feeds an input of the subgraph that a scope is the inside of."""
    assert scope.parent is not None
    outer, node = scope.parent
    # the node may list its inputs in another order than the definition, and its values have the definition's order
    definition = outer.subgraphs[node["type"]]
    name = definition["inputs"][slot]["name"]
    for found in node.get("inputs") or ():
        if found["name"] == name and found.get("link") is not None:
            return resolve(outer, found["link"], depth)
    places = [place for place in range(len(definition["inputs"])) if _is_widget(scope, place)]
    values = node.get("widgets_values")
    if slot in places and isinstance(values, list) and len(values) == len(places):
        return Source(value=values[places.index(slot)])
    return None


def _is_widget(scope: Scope, slot: int) -> bool:
    """Whether an input of the subgraph that a scope is the inside of leads to a widget."""
    for link in scope.links.values():
        if link.origin == INPUTS_OF_SUBGRAPH and link.origin_slot == slot:
            inputs = (scope.nodes.get(str(link.target)) or {}).get("inputs") or ()
            return link.target_slot < len(inputs) and bool(inputs[link.target_slot].get("widget"))
    return False


def _input(scope: Scope, node: Mapping[str, Any] | None, slot: int, depth: int) -> Source | None:
    inputs = (node or {}).get("inputs") or []
    if slot >= len(inputs) or inputs[slot].get("link") is None:
        return None
    return resolve(scope, inputs[slot]["link"], depth)


def _through(scope: Scope, node: Mapping[str, Any], slot: int, kind: Any, depth: int) -> Source | None:
    """What a bypassed node passes on in place of an output: the input of its number, or the first that fits."""
    inputs = node.get("inputs") or []
    outputs = node.get("outputs") or []
    kind = outputs[slot]["type"] if slot < len(outputs) else kind
    order = sorted(range(len(inputs)), key=lambda place: place != slot)
    for place in order:
        if inputs[place].get("link") is not None and _fits(inputs[place].get("type"), kind):
            return _input(scope, node, place, depth)
    return None


def _fits(one: Any, other: Any) -> bool:
    """Whether two types of sockets can be linked: `*` fits all, and a type may be several with commas."""
    types, others = (set(str(kind).split(",")) for kind in (one, other))
    return "*" in types | others or bool(types & others)


def _set_node(scope: Scope, get: Mapping[str, Any]) -> Mapping[str, Any] | None:
    name = (get.get("widgets_values") or [None])[0]
    for node in scope.nodes.values():
        if node["type"] == "SetNode" and (node.get("widgets_values") or [None])[0] == name:
            return node
    if scope.parent is not None:
        return None
    raise JobError(f"node {get['id']} gets {name!r}, which no Set node sets: set it, or link the nodes.")
