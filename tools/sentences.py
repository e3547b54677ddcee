"""Collect the sentences of errors that the page shows, as texts with {0}, {1} ... in the place of their values.

    .venv/bin/python -m tools.sentences

Prints those that have no Chinese twin in web/js/i18n, each as a line of JSON. Python's are read from the syntax trees
of ROOMS, the page's own from PAGE; a value that is a text of its own is one of them.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from .comfy_host import ROOT
from .command_line import no_arguments

# where what a user sets on the page can be refused
ROOMS = (
    "memflow_core/schedule",
    "memflow_core/config",
    "memflow_core/profiles",
    "memflow_core/play",
    "nodes/run",
    "nodes/host/loras.py",
    "nodes/api/live.py",
    "nodes/api/takes.py",
)
PAGE = ("web/js/schedule", "web/js/timeline/convert.js")
CHINESE = ("zh_text_errors.js", "zh_schedule_errors.js", "zh_page_errors.js", "zh_run_errors.js")
_ERROR = re.compile(r"(Error|LiveConflict|NoSuchRun|require|refuse_\w+|unknown_\w+|misplaced_\w+)$")
# a word alone is one of a schedule's or of a file's
_SENTENCE = re.compile(r"[A-Za-z]{2,}\b.*\b[A-Za-z]{2}|[A-Za-z] ?: ")

# what `str` makes of times and of pins, and `require_int` of a range
VALUES = (
    "{0} s",
    "frame {0}",
    "chunk {0}",
    "latent frame {0}",
    "the pin at {0}",
    "pin {0} at {1}",
    "at {0} s",
    " to {0}",
    "a whole number from {0} to {1}",
    "a whole number of at least {0}",
    "one of {0}",
    "the control's pictures",
    "the pictures",
)


def of_python(source: str) -> list[str]:
    """Sentences of the errors that a Python file makes, and the texts that their values may be."""
    tree = ast.parse(source)
    reader = _Reader(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _ERROR.search(_name(node.func)):
            for argument in node.args:
                reader.read(argument)
    return [text for text in reader.found if _SENTENCE.search(re.sub(r"\{\d\}", "", text))]


def of_page(source: str) -> list[str]:
    """Sentences in a file of the page."""
    code = re.sub(r"^\s*(?://|/?\*).*$", "", source, flags=re.MULTILINE)
    made = [text[1:-1] for text in re.findall(r"`[^`]*`|\"(?:[^\"\\\n]|\\.)*\"", code)]
    told = [text for text in made if re.search(r" .*\.$|^Line ", text)]
    return [_numbered(re.sub(r"\$\{(?:[^{}]|\{[^{}]*\})*\}", "\0", text).split("\0")) for text in told]


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _numbered(parts: list[str]) -> str:
    return parts[0] + "".join(f"{{{number}}}{part}" for number, part in enumerate(parts[1:]))


class _Reader:
    """Every text that an expression may be: what names stand for and functions return is looked up in the same file."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: dict[str, None] = {}
        self._seen: set[ast.expr] = set()
        self._meant: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assign(target, node.value)
            if isinstance(node, ast.FunctionDef):
                returns = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
                self._meant.setdefault(node.name, []).extend(returns)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._meant.setdefault(target.id, []).append(value)
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=False):
                self._assign(one, other)

    def read(self, node: ast.expr) -> None:
        """Add every text that an expression may be, then every text that its values may be."""
        if node in self._seen:
            return
        self._seen.add(node)
        values: list[ast.expr] = [node] if isinstance(node, (ast.Name, ast.Call)) else []
        for parts in _alternatives(node, values):
            if len(parts) > 1 or parts[0]:
                self.found[_numbered(parts)] = None
        for value in values:
            if isinstance(value, ast.IfExp):
                self.read(value)
            function = value.func if isinstance(value, ast.Call) else value
            for meant in self._meant.get(_name(function), ()):
                self.read(meant)


def _alternatives(node: ast.expr, values: list[ast.expr]) -> list[list[str]]:
    """What stands between the values, for each text that an expression may be; the values are added to `values`."""
    if isinstance(node, ast.Constant):
        return [[node.value]] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return _alternatives(node.body, values) + _alternatives(node.orelse, values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        lefts, rights = _alternatives(node.left, values), _alternatives(node.right, values)
        return [[*left[:-1], left[-1] + right[0], *right[1:]] for left in lefts for right in rights]
    if not isinstance(node, ast.JoinedStr):
        return []
    parts = [""]
    for piece in node.values:
        if isinstance(piece, ast.Constant):
            parts[-1] += str(piece.value)
        else:
            assert isinstance(piece, ast.FormattedValue)
            values.append(piece.value)
            parts.append("")
    return [parts]


def all_sentences(root: Path = ROOT) -> dict[str, list[str]]:
    """Sentences by the file that makes them."""
    found = {}
    for place in ROOMS:
        for path in _files(root / place, "*.py"):
            found[path.relative_to(root).as_posix()] = of_python(path.read_text())
    for place in PAGE:
        for path in _files(root / place, "*.js"):
            found[path.relative_to(root).as_posix()] = of_page(path.read_text())
    return {name: texts for name, texts in found.items() if texts}


def _files(place: Path, pattern: str) -> list[Path]:
    return sorted(place.rglob(pattern)) if place.is_dir() else [place]


def chinese_keys() -> list[str]:
    """The texts that have a Chinese twin."""
    sources = [(ROOT / "web/js/i18n" / name).read_text() for name in CHINESE]
    key = re.compile(r'^  ("(?:[^"\\]|\\.)*"):', re.MULTILINE)
    return [json.loads(found) for source in sources for found in key.findall(source)]


def main() -> None:
    no_arguments(__doc__)
    known = chinese_keys()
    seen = set()
    for name, texts in all_sentences().items():
        print("#", name)
        for text in texts:
            if text not in known and text not in seen:
                print(json.dumps(text, ensure_ascii=False))
            seen.add(text)


if __name__ == "__main__":
    main()
