"""Look names up in ComfyUI's sources without importing them: modules, their names, the members of classes.

Only what a file's top level binds counts as a name of a module: a function that became a method of a class is gone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

# top-level modules of ComfyUI that a pack may bind
PACKAGES = (
    *("comfy", "comfy_api", "comfy_execution", "comfyui_version"),
    *("folder_paths", "latent_preview", "nodes", "server"),
)
# bases from elsewhere that bring no name that is looked up here
PLAIN_BASES = {"ABC", "Enum", "Generic", "Module", "Protocol", "object", "str"}
# what Python itself gives every module that is read from a file
OF_EVERY_MODULE = {*dir(ModuleType("any")), "__file__"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
# names that lead to one another in a circle
MOST_STEPS = 40


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a file's text, which nobody changes: most files are alike in two versions of ComfyUI."""
    return ast.parse(source)


@dataclass(frozen=True)
class Found:
    """What a name stands for.

    node    the function or class; None for a value, whose members cannot be told.
    module  the file it stands in; the module itself where `is_module`.
    """

    module: Module | None = None
    node: ast.AST | None = None
    is_module: bool = False


VALUE = Found()


@dataclass
class Module:
    """One source file."""

    tree: ast.Module
    name: str
    is_package: bool
    bound: dict[str, ast.AST] = field(init=False)

    def __post_init__(self) -> None:
        self.bound = dict(_bindings(self.tree.body))

    @cached_property
    def set_from_outside(self) -> dict[tuple[str, str], ast.expr]:
        """What is assigned to `Class.name` anywhere in the file, by class and name."""
        found = {}
        for node in ast.walk(self.tree):
            for target in node.targets if isinstance(node, ast.Assign) else ():
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    found[target.value.id, target.attr] = node.value
        return found

    def stars(self) -> Iterator[ast.ImportFrom]:
        """Imports of all names of another module."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                yield node


class Sources:
    """The sources of one ComfyUI, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """A module by its dotted name; None if there is no such file."""
        if name not in self._modules:
            base = self.root.joinpath(*name.split("."))
            package = base / "__init__.py"
            path = package if package.is_file() else base.with_suffix(".py")
            # a folder without __init__ is a package, too
            source = path.read_text(encoding="utf-8") if path.is_file() else "" if base.is_dir() else None
            made = None if source is None else Module(parsed(source), name, is_package=base.is_dir())
            self._modules[name] = made
        return self._modules[name]

    def find(self, names: Sequence[str]) -> Found | None:
        """What `comfy.sd.VAE`, cut at its dots, stands for; None if some part of it does not exist."""
        module = self.module(names[0])
        found = None if module is None else Found(module, is_module=True)
        for name in names[1:]:
            found = found and self.member(found, name)
        return found

    def member(self, owner: Found, name: str, steps: int = 0) -> Found | None:
        """A member of a module or class; VALUE where that cannot be told; None if there is none."""
        if owner.module is None or steps > MOST_STEPS:
            return VALUE
        if owner.is_module:
            return self._of_module(owner.module, name, steps + 1)
        if isinstance(owner.node, ast.ClassDef):
            return self._of_class(owner.module, owner.node, name, steps + 1)
        return VALUE

    def _of_module(self, module: Module, name: str, steps: int) -> Found | None:
        node = module.bound.get(name)
        if node is not None:
            return self._bound(module, node, name, steps)
        if module.is_package and (inner := self.module(f"{module.name}.{name}")):
            return Found(inner, is_module=True)
        for star in module.stars():
            other = self.module(_absolute(module, star))
            if other is not None and (found := self._of_module(other, name, steps + 1)):
                return found
        return VALUE if name in OF_EVERY_MODULE else None

    def _bound(self, module: Module, node: ast.AST, name: str, steps: int) -> Found | None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            alias = next(alias for alias in node.names if (alias.asname or alias.name.split(".")[0]) == name)
            return self._imported(module, node, alias, steps)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            return Found(module, node)
        if isinstance(node, ast.expr):
            return self._expression(module, node, steps)
        return VALUE

    def _imported(self, module: Module, node: ast.AST, alias: ast.alias, steps: int) -> Found | None:
        if isinstance(node, ast.ImportFrom):
            source = self.module(_absolute(module, node))
            return VALUE if source is None else self.member(Found(source, is_module=True), alias.name, steps)
        imported = self.module(alias.name if alias.asname else alias.name.split(".")[0])
        return VALUE if imported is None else Found(imported, is_module=True)

    def _expression(self, module: Module, node: ast.expr, steps: int) -> Found | None:
        """What `io` in `IO = io` stands for, or VALUE."""
        names = names_of(node)
        if names is None or names[0] not in module.bound or steps > MOST_STEPS:
            return VALUE
        found = self._of_module(module, names[0], steps + 1)
        for name in names[1:]:
            found = found and self.member(found, name, steps + 1)
        return found or VALUE

    def _of_class(self, module: Module, owner: ast.ClassDef, name: str, steps: int) -> Found | None:
        own = dict(_bindings(owner.body))
        if name in own:
            return self._bound(module, own[name], name, steps)
        value = module.set_from_outside.get((owner.name, name))
        if value is not None:
            # `Class.instance = self`
            return Found(module, owner) if isinstance(value, ast.Name) and value.id == "self" else VALUE
        if name in set(_set_on_self(owner)) or "__getattr__" in own:
            return VALUE
        return self._of_bases(module, owner, name, steps)

    def _of_bases(self, module: Module, owner: ast.ClassDef, name: str, steps: int) -> Found | None:
        for base in owner.bases:
            names = names_of(base.value if isinstance(base, ast.Subscript) else base)
            if names is None or names[-1] in PLAIN_BASES:
                continue
            found = self._expression(module, base, steps)
            if found is None or found.module is None:
                return VALUE  # of another package
            if found.node is not owner and (inherited := self.member(found, name, steps + 1)):
                return inherited
        return None


def names_of(node: ast.AST) -> list[str] | None:
    """The names of `a.b.c`; None for any other expression."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    base = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _bindings(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Names that statements bind, and what to: a definition, an import, an assigned expression, or the statement."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name.split(".")[0], node) for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            # not the owner of an attribute that is set
            names = [name for name in named if isinstance(name.ctx, ast.Store)]
            alone = len(names) == 1 and node.value is not None
            yield from ((name.id, node.value if alone and node.value else node) for name in names)
        else:
            for part in ("body", "orelse", "finalbody", "handlers"):
                for inner in getattr(node, part, []):
                    yield from _bindings(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def _set_on_self(owner: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(owner):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if stored and isinstance(node.value, ast.Name) and node.value.id == "self":
            yield node.attr
