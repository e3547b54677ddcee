"""Tell ComfyUI's cache which results of a node hold an output that is made only where something is linked to it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from .client import is_output_read, running_node

_NUMBERS = itertools.count(1)
_MOST_NODES = 1000


@dataclass
class _Last:
    """What a node's last finished run had.

    token    what it told the cache.
    held     whether the output was made.
    offered  what the next run tells that makes it.
    """

    token: str = "without"
    held: bool = False
    offered: str = ""


# by node id; of another workflow's node of that id, at worst a result is made anew
_NODES: dict[str, _Last] = {}


def output_token(index: int) -> str:
    """What a node is to tell ComfyUI's cache in `fingerprint_inputs`, for an output by its number.

    A result without the output is none for a graph that reads it, so that one gets a token of its own. A result with it
    serves a graph that does not: taking a link out makes nothing anew.
    """
    node = running_node()
    if node is None:
        return "with"
    last = _NODES.setdefault(node, _Last())
    while len(_NODES) > _MOST_NODES:
        del _NODES[next(iter(_NODES))]
    if last.held or not is_output_read(index):
        return last.token
    last.offered = last.offered or f"with {next(_NUMBERS)}"
    return last.offered


def note_output(made: bool) -> None:
    """Note, at the end of a node's run, whether it made the output."""
    last = _NODES.get(running_node() or "")
    if last is None:
        return
    if made and not last.held:
        last.token, last.offered = last.offered or last.token, ""
    last.held = made
