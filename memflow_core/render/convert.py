"""Turn a workflow as ComfyUI's page saves it into the API form that the server runs.

The page does this itself when it queues a graph; without a page it has to be done here, from the server's
`/object_info`. Muted and bypassed nodes, reroutes, primitive nodes, Set and Get nodes, subgraphs (nested ones too) and
widgets that a link feeds are followed as the page follows them. `tests/render/test_convert.py` compares it with
comfy-cli's conversion.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import JobError, cut
from .links import NEVER, ONLY_ON_THE_PAGE, Scope, Source, open_scope, resolve
from .widgets import widget_values

Graph = dict[str, dict[str, Any]]
"""The API form: `{node id: {"class_type": ..., "inputs": {name: value or [node id, output]}, "_meta": {...}}}`."""


def is_workflow(value: object) -> bool:
    """Whether JSON looks like a workflow as the page saves it."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def is_graph(value: object) -> bool:
    """Whether JSON looks like the API form."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(node, dict) and "class_type" in node for node in value.values())
    )


def convert(workflow: Mapping[str, Any], infos: Mapping[str, Any]) -> Graph:
    """Convert a workflow file's JSON to the API form.

    infos  the server's `/object_info`: what each type of node takes, by type.

    Raises JobError for a workflow that is damaged, or has a node of a type that the server does not know.
    """
    try:
        graph = dict(_converted(open_scope(workflow), infos))
    except JobError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError) as error:
        raise JobError(f"the workflow is damaged ({cut(str(error))}): save it from ComfyUI again.") from None
    if not graph:
        raise JobError("the workflow has no node that runs: switch its nodes on, or give another file.")
    _drop_dead_links(graph)
    return graph


def _converted(scope: Scope, infos: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for node in scope.nodes.values():
        if node.get("mode", 0) in NEVER or node["type"] in ONLY_ON_THE_PAGE:
            continue
        inner = scope.inside(node)
        if inner is not None:
            yield from _converted(inner, infos)
            continue
        yield scope.path(node["id"]), _api_node(scope, node, infos)


def _api_node(scope: Scope, node: Mapping[str, Any], infos: Mapping[str, Any]) -> dict[str, Any]:
    kind = node["type"]
    info = infos.get(kind)
    if info is None:
        raise JobError(_unknown(kind, node))
    inputs = widget_values(node, info)
    for name, found in _linked(scope, node):
        # a link to nothing, say to a muted node, leaves the widget its own value
        if found is not None:
            inputs[name] = copy.deepcopy(found.value) if found.path is None else [found.path, found.slot]
    title = node.get("title") or info.get("display_name") or kind
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


def _unknown(kind: str, node: Mapping[str, Any]) -> str:
    if kind.startswith("workflow/") or kind.startswith("workflow>"):
        return f"node {node['id']} is a group node ({kind}), which the page alone can read: turn it into a subgraph."
    return (
        f"this ComfyUI has no node {cut(kind)} (node {node['id']}): install the pack that it is from, or mute the node."
    )


def _linked(scope: Scope, node: Mapping[str, Any]) -> Iterator[tuple[str, Source | None]]:
    for slot in node.get("inputs") or ():
        if slot.get("link") is not None:
            yield slot["name"], resolve(scope, slot["link"])


def _drop_dead_links(graph: Graph) -> None:
    """Take out links to nodes that do not run, as the page does."""
    for node in graph.values():
        for name, value in list(node["inputs"].items()):
            if is_link(value) and value[0] not in graph:
                del node["inputs"][name]


def is_link(value: object) -> bool:
    """Whether an input's value of the API form is a link: [node id, number of its output]."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int
