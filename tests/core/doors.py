"""Check who may import whom: rooms, their doors, and where a name comes from.

A *wing* is a package such as `memflow_core`; a *room* is one of its sub-packages, or a lone top-level file. The door of
a room is its `__init__`. Three rules (docs/architecture.md):

1. A room imports only the rooms that the table of its wing allows.
2. Another room is entered through its `__init__` only, for a name that stands in that room's `__all__`.
3. A name is imported from where it is defined: a door lists no name of another room, and no file imports a name from a
   file that merely imported it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Module = tuple[str, ...]  # ("memflow_core", "memory", "bank"), counted from the root of the repository

# attributes of ComfyUI's objects that are no interface of theirs; `.model.model` is the third
COMFYUI_INTERNALS = {"first_stage_model", "patcher", "feat_cache"}


@dataclass(frozen=True)
class Wing:
    """A package whose rooms may import one another only as a table allows.

    may     rooms by room, names parted by blanks; `*` stands for each top-level file that has no row of its own.
    shared  rooms that every room may import.
    beyond  other wings that every room may import.
    """

    package: str
    may: Mapping[str, str]
    shared: str = ""
    beyond: Sequence[str] = ()

    def row(self, room: str) -> str | None:
        """The row of the table that a room stands in, or None."""
        return room if room in self.may else "*" if "*" in self.may else None

    def allows(self, room: str, other: str) -> bool:
        row = self.row(room)
        return row is not None and self.row(other) in [*self.may[row].split(), *self.shared.split()]


@dataclass(frozen=True)
class Import:
    """One imported name or module.

    target  the module that is imported, or imported from.
    name    what is taken from it; None for the module itself.
    bound   what the importing file calls it: a name, or `a.b` after `import a.b`.
    """

    line: int
    target: Module
    name: str | None
    bound: str


CORE = Wing(
    "memflow_core",
    {
        "config": "",
        "profiles": "",
        "disk": "",
        "schedule": "",
        "model": "",
        "video": "disk",
        "weights": "disk model",
        "memory": "model",
        "attention": "memory model",
        "stream": "attention memory model",
        "state": "disk stream attention memory model",
        "keep": "disk video schedule stream state",
        "play": "stream schedule memory keep",
        "estimate": "schedule memory model",
        "render": "schedule profiles video",
        "parallel": "stream play state weights model",
        "__init__": "disk schedule profiles model video weights memory attention stream play state keep estimate",
    },
    shared="config",
)
# * is a node file; none imports another
NODES = Wing(
    "nodes",
    {
        "io_types": "",
        "host": "",
        "report": "host",
        "run": "report host",
        "api": "run host",
        "inputs": "io_types run report host",
        "*": "inputs io_types run report host",
        "__init__": "* api host",
    },
    beyond=["memflow_core"],
)
# packages that enter these rooms by the doors too; tests/training/test_rooms.py has the tables of their own rooms
OUTSIDERS = ["training", "benchmarks", "tools"]


class Source:
    """One parsed file and its place in the repository."""

    def __init__(self, root: Path, path: Path) -> None:
        self.label = path.relative_to(root).as_posix()
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.is_package = path.name == "__init__.py"
        parts = path.relative_to(root).with_suffix("").parts
        self.module: Module = parts[:-1] if self.is_package else parts

    @cached_property
    def defined(self) -> set[str]:
        """Names that the file itself defines at its top level."""
        return set(_definitions(self.tree.body))

    @cached_property
    def public(self) -> list[str]:
        """`__all__`; without one, the names that the file defines or imports from its own folder."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
            ):
                return list(ast.literal_eval(node.value))
        own = [alias.asname or alias.name for node in self.tree.body if _is_own(node) for alias in node.names]
        return [name for name in [*self.defined, *own] if not name.startswith("_")]


def _is_own(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.level == 1


def _definitions(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
        else:
            for inner in ("body", "orelse", "finalbody"):
                yield from _definitions(getattr(node, inner, []))


class Repository:
    """The Python files of some packages, and what their imports lead to."""

    def __init__(self, root: Path, wings: Sequence[Wing], outsiders: Sequence[str] = ()) -> None:
        self.wings = {wing.package: wing for wing in wings}
        paths = [path for package in (*self.wings, *outsiders) for path in sorted((root / package).rglob("*.py"))]
        self.sources = {source.module: source for source in (Source(root, path) for path in paths)}

    def imports(self, source: Source) -> Iterator[Import]:
        """Imports of files in this repository, wherever they stand in the file."""
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    target = tuple(alias.name.split("."))
                    if target[0] in self.wings:
                        yield Import(node.lineno, target, None, alias.asname or alias.name)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(source, node)
                if base and base[0] in self.wings:
                    yield from (self._import_of(base, alias, node.lineno) for alias in node.names)

    def _base(self, source: Source, node: ast.ImportFrom) -> Module:
        named = tuple(node.module.split(".")) if node.module else ()
        if not node.level:
            return named
        drop = node.level - 1 if source.is_package else node.level
        return source.module[: len(source.module) - drop] + named

    def _import_of(self, base: Module, alias: ast.alias, line: int) -> Import:
        bound, inner = alias.asname or alias.name, (*base, alias.name)
        if inner in self.sources:
            return Import(line, inner, None, bound)
        return Import(line, base, alias.name, bound)


def violations(root: Path, wings: Sequence[Wing], outsiders: Sequence[str] = ()) -> list[str]:
    """What breaks the three rules in the wings, and rules 2 and 3 in packages that use them: `file:line reason`."""
    repository = Repository(root, wings, outsiders)
    found = []
    for source in repository.sources.values():
        found += [f"{source.label}:{line} {reason}" for line, reason in _violations_of(repository, source)]
    return found


def _violations_of(repository: Repository, source: Source) -> Iterator[tuple[int, str]]:
    package, room = source.module[0], _room(source.module)
    wing = repository.wings.get(package)
    if wing is not None and wing.row(room) is None:
        yield 1, "is in no room of the table"
        return
    for item in repository.imports(source):
        if wing is not None and item.target[0] == package and _room(item.target) == room:
            yield from _inside(repository, item)
            continue
        if wing is not None:
            yield from _not_allowed(wing, room, item)
        yield from _through_the_door(repository, source, item)
    if wing is not None and source.is_package and len(source.module) == 2:
        yield from _door_lists_its_own(repository, source)


def _room(module: Module) -> str:
    return module[1] if len(module) > 1 else "__init__"


def _inside(repository: Repository, item: Import) -> Iterator[tuple[int, str]]:
    """Rule 3 among files of one room."""
    source = repository.sources.get(item.target)
    if item.name is not None and source is not None and item.name not in source.defined:
        yield item.line, f"imports {item.name} from {_dotted(item.target)}, which does not define it"


def _not_allowed(wing: Wing, room: str, item: Import) -> Iterator[tuple[int, str]]:
    """Rule 1."""
    package, other = item.target[0], _room(item.target)
    if package != wing.package:
        if package not in wing.beyond:
            yield item.line, f"{wing.package} may not import {package}"
    elif not wing.allows(room, other):
        yield item.line, f"{room} may not import {other}"


def _through_the_door(repository: Repository, source: Source, item: Import) -> Iterator[tuple[int, str]]:
    """Rules 2 and 3 for an import of another room."""
    if len(item.target) == 1:
        names = [item.name] if item.name else _attributes(source.tree, item.bound)
        for name in names:
            if (*item.target, name) not in repository.sources:
                yield item.line, f"imports {name} from {item.target[0]}, not from the room that defines it"
        return
    room = item.target[:2]
    door = repository.sources.get(room)
    if len(item.target) > 2 and (door is None or len(item.target) > 3 or item.target[2] not in door.public):
        yield item.line, f"enters {_dotted(room)} by its file {_dotted(item.target[2:])}"
        return
    if door is None:
        yield item.line, f"imports {_dotted(item.target)}, which is not there"
    elif len(item.target) == 2:
        names = [item.name] if item.name else _attributes(source.tree, item.bound)
        for name in dict.fromkeys(names):
            if name not in door.public and not name.startswith("__"):
                yield item.line, f"takes {name}, which {_dotted(room)} does not list"


def _door_lists_its_own(repository: Repository, door: Source) -> Iterator[tuple[int, str]]:
    """Rule 3 for a door: what it lists is defined in the room."""
    origin = {item.bound: item for item in repository.imports(door)}
    for name in door.public:
        item = origin.get(name)
        if item is None and name not in door.defined:
            yield 1, f"lists {name}, which it does not have"
        elif item is not None and item.target[:2] != door.module:
            yield item.line, f"lists {name}, which {_dotted(item.target)} defines"


def _attributes(tree: ast.Module, bound: str) -> list[str]:
    """Attributes that a file reads from the module that it calls `bound`."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return [node.attr for node in nodes if _name_of(node.value) == bound]


def _name_of(node: ast.expr) -> str | None:
    """`a.b` for such an expression; None for any other."""
    if isinstance(node, ast.Attribute):
        owner = _name_of(node.value)
        return None if owner is None else f"{owner}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _dotted(module: Module) -> str:
    return ".".join(module)


def comfyui_internals(root: Path, packages: Sequence[str], host: str) -> list[str]:
    """Uses of the insides of ComfyUI's objects outside the folder `host`: `file:line name`."""
    files = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    outside = [path for path in files if (root / host) not in path.parents]
    return [
        f"{path.relative_to(root).as_posix()}:{line} {name}"
        for path in outside
        for line, name in _internals(ast.parse(path.read_text(encoding="utf-8")))
    ]


def _internals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in COMFYUI_INTERNALS:
            yield node.lineno, f".{node.attr}"
        elif isinstance(node, ast.Attribute) and node.attr == "model":
            if isinstance(node.value, ast.Attribute) and node.value.attr == "model":
                yield node.lineno, ".model.model"
        elif isinstance(node, ast.keyword) and node.arg in COMFYUI_INTERNALS:
            yield node.value.lineno, f"{node.arg}="
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            names = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
            yield from ((node.lineno, f"{node.func.id} {name}") for name in names if name in COMFYUI_INTERNALS)
