"""Things on a link of which a stream makes nothing, under the names that people know them by."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any

UNUSED = "unused"
INSERTED = "inserted"
KEYFRAMES = "keyframes"
_BLOCK = re.compile(r"\.\d+\b")


@dataclass(frozen=True)
class Finding:
    """Something that a stream does not use as it is meant.

    kind    UNUSED; INSERTED: code that a node puts into the model, which a stream may never call; KEYFRAMES: strengths
            that change with the denoising steps, of which the first is used.
    option  where it stands, as ComfyUI calls it.
    node    display name of the node that set it, if that can be told.
    """

    kind: str
    option: str
    node: str | None = None

    @property
    def what(self) -> str:
        """The node with its option, or the option alone."""
        return f"{self.node} ({self.option})" if self.node else self.option


def one_a_node(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first finding of each node and kind: most nodes set several options at once."""
    first: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        first.setdefault((finding.kind, finding.node or finding.option), finding)
    return tuple(first.values())


def unused_at(place: str, value: Any) -> Finding:
    """What a stream makes nothing of at a place of the model; most nodes do the same to every block."""
    return Finding(UNUSED, _BLOCK.sub(".*", place), node_behind(value))


def node_behind(value: Any) -> str | None:
    """Display name of the node whose code made a callable or an object; None if it is not a node's."""
    for module, name in _origins(value, depth=0):
        found = _node_class(sys.modules.get(module), name.partition(".")[0])
        if found is not None:
            return _display_name(found)
    return None


def _origins(value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """(module, qualified name) of the code behind a value, its own first, then of what that encloses."""
    if isinstance(value, partial):
        yield from _origins(value.func, depth + 1)
    elif isinstance(value, MethodType):
        yield from _origins(value.__func__, depth + 1)
        yield from _origins(value.__self__, depth + 1)
    elif isinstance(value, FunctionType):
        yield value.__module__ or "", value.__qualname__
        # ComfyUI wraps some functions in a lambda of its own
        for cell in (value.__closure__ or ()) if depth < 3 else ():
            try:
                inside = cell.cell_contents
            except ValueError:  # of a variable that was deleted
                continue
            if callable(inside):
                yield from _origins(inside, depth + 1)
    else:
        kind = value if isinstance(value, type) else type(value)
        yield kind.__module__, kind.__qualname__


def _node_class(module: Any, name: str) -> type | None:
    """The node of that name in a module, or its only node."""
    if module is None:
        return None
    named = getattr(module, name, None)
    if _is_node(named):
        return named
    nodes = {value for value in vars(module).values() if _is_node(value) and value.__module__ == module.__name__}
    return nodes.pop() if len(nodes) == 1 else None


def _is_node(value: Any) -> bool:
    return isinstance(value, type) and (hasattr(value, "INPUT_TYPES") or "define_schema" in vars(value))


def _display_name(node: type) -> str:
    if "define_schema" in vars(node):
        schema: Any = node.define_schema()  # type: ignore[attr-defined]
        return schema.display_name or schema.node_id
    module = sys.modules[node.__module__]
    ids = [name for name, kind in getattr(module, "NODE_CLASS_MAPPINGS", {}).items() if kind is node]
    name = ids[0] if ids else node.__name__
    return getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", {}).get(name, name)
