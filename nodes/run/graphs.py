"""Read nodes and links of a graph as it is queued, `{id: {"class_type", "inputs"}}`, which a stranger may have sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Graph = Mapping[str, Any]


def is_link(value: Any) -> bool:
    """Whether an input's value is a link: a node's id, and the number of an output of it."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def linked_node(graph: Any, value: Any) -> dict[str, Any] | None:
    """The node that an input's value is linked to; None for no link, or one that leads nowhere."""
    return node_of(graph, value[0]) if is_link(value) else None


def node_of(graph: Any, node_id: Any) -> dict[str, Any] | None:
    """A node's `class_type` and `inputs`; None where the graph has none of that id, or one of another form."""
    node = graph.get(node_id) if isinstance(graph, Mapping) and isinstance(node_id, str) else None
    if not isinstance(node, Mapping) or not isinstance(node.get("inputs"), Mapping):
        return None
    try:
        json.dumps(node["inputs"])
    except (TypeError, ValueError, RecursionError):
        return None
    return {"class_type": str(node.get("class_type")), "inputs": node["inputs"]}
