"""Say in one sentence what went wrong: on a node, on the page, and in the answer of a route.

What users see holds no name of a class, no traceback and no place on the server's disk; the log has them all.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.model_management
import folder_paths
from comfy_api.latest import io

MOST_CHARACTERS = 600
_CLASS = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Interrupt)(?:: |$)")
# two folders at least, so that "and/or" and a lone /name stay; a drive's letter, or what may stand before a path
_PATH = re.compile(r"(?<![\w/\\.:-])(?:[A-Za-z]:)?[/\\](?:[\w .@+~-]{1,100}[/\\]){1,40}(?=[\w.@+~-])")
_REASONS = {
    errno.ENOSPC: "the disk is full: make room, or choose another output folder.",
    errno.EDQUOT: "the disk quota is used up: make room, or choose another output folder.",
    errno.EACCES: "ComfyUI may not do that there: check the permissions of the folder.",
    errno.EPERM: "ComfyUI may not do that there: check the permissions of the folder.",
    errno.EROFS: "the folder can only be read: choose another one.",
    errno.ENOENT: "there is no such file or folder: was it moved or removed?",
    errno.ENOTDIR: "a part of its folder's name is a file: choose another name.",
    errno.EISDIR: "it is a folder, where a file is needed: choose another name.",
    errno.EEXIST: "there is such a file already: choose another name.",
    errno.ENAMETOOLONG: "its name is too long: choose a shorter one.",
    errno.EMFILE: "too many files are open: close some programs, or restart ComfyUI.",
    errno.EIO: "the disk reports an error: check it.",
}


class NodeProblem(ValueError):
    """What a node tells its user, in one sentence."""


# the page shows a class with its module, which for a pack of nodes is a path on the server's disk
NodeProblem.__module__, NodeProblem.__qualname__ = "builtins", "MemFlow"


def sentence(error: BaseException) -> str:
    """What an exception says to a user, on one line."""
    if isinstance(error, NodeProblem):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return _of_system(error)
    text = _CLASS.sub("", _first_line(error))
    if not text:
        return "something failed that gives no reason: the server's log has the details."
    # our own errors are ValueErrors that are written as sentences
    if isinstance(error, (ValueError, FileNotFoundError)):
        text = _without_folders(text)
        return text if text[-1] in ".?!。" else f"{text}."
    return _unexpected(text)


def told(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The same node, whose errors reach its user as one sentence."""

    class Told(node):
        @classmethod
        def execute(cls, **inputs: Any) -> io.NodeOutput:
            with plainly_told():
                return super().execute(**inputs)

    Told.__name__, Told.__qualname__, Told.__module__ = node.__name__, node.__qualname__, node.__module__
    Told.__doc__ = node.__doc__
    return Told


@contextmanager
def plainly_told() -> Iterator[None]:
    """Raise NodeProblem, with a sentence, for any error but a cancel and those of memory, which ComfyUI handles."""
    try:
        yield
    except Exception as error:
        if comfy.model_management.is_oom(error) or isinstance(error, MemoryError):
            raise
        raise NodeProblem(sentence(error)) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else ""
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}..."


def _of_system(error: OSError) -> str:
    named = error.filename if error.filename is not None else error.filename2
    name = f"{Path(str(named)).name}: " if named not in (None, "") else ""
    reason = _REASONS.get(error.errno or 0)
    if reason is None:
        reason = f"{(error.strerror or 'the system refused').rstrip('.').lower()}: check disk and folder."
    return f"{name}{reason}"


def _unexpected(text: str) -> str:
    words = _without_folders(_PATH.sub("", text)).rstrip(".")
    return f"something failed that should not: {words}. The server's log has the details."


def _without_folders(text: str) -> str:
    """A text without the folders of this server: what lies in one of them is named from there."""
    for folder in _own_folders():
        # quoted, a backslash is written twice
        for written in (folder, folder.replace("\\", "\\\\")):
            for end in ("/", "\\\\", "\\"):
                text = text.replace(f"{written}{end}", "")
            text = text.replace(written, Path(folder).name)
    return text


def _own_folders() -> list[str]:
    """Folders that a text must not name, the innermost first."""
    named = (folder_paths.get_output_directory, folder_paths.get_temp_directory, folder_paths.get_input_directory)
    pack = Path(__file__).resolve().parents[2]
    folders = {*(str(get()) for get in named), str(folder_paths.base_path), folder_paths.models_dir, str(pack)}
    folders |= {str(Path(folder).resolve()) for folder in folders} | {str(Path.home())}
    return sorted((folder for folder in folders if len(folder) > 3), key=len, reverse=True)
