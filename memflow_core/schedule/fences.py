"""Take a schedule out of the answer of a chat program: fences of three backticks, words before JSON, lost braces."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .headers import match_header
from .loose_line import is_timed
from .prose import is_preamble

_FENCE = re.compile(r"(?:```|~~~)[ \t]{0,9}[\w.+-]{0,30}$")
_ASSIGNED = re.compile(
    r"(?:(?:const|let|var)[ \t]+)?[A-Za-z_]\w{0,60}[ \t]{0,9}(?::[ \t]{0,9}[\w\[\], ]{1,40})?=[ \t\n]{0,9}(?=[\[{(])"
)
_TUPLE = re.compile(r"\(\s*[\"'\u201c\u2018(\[{]|\(\s*$")
_STRUCTURE = re.compile(r"\{\s*(?:[\"'\u201c\u2018}/#]|[0-9A-Za-z_]+\s*[:=])|\[\s*[\[{(\"'\u201c\u2018\]]|\[\s*$")


@dataclass(frozen=True)
class Bare:
    """A text without what stood around it. Lines keep their numbers; left: the numbers of those that were left out."""

    text: str
    left: tuple[int, ...] = ()


def starts_structure(text: str) -> bool:
    """Whether a text starts as JSON or a literal of Python does. `[0s] a` and `{red|blue} a` do not."""
    return _STRUCTURE.match(text) is not None


def unfence(text: str) -> Bare:
    """The text within fences, if there are any; words around JSON and the name it is assigned to are left out, too."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if "``" in line or "~~" in line]
    fences = [number for number in fences if _FENCE.match(lines[number].strip())]
    left: list[int] = []
    fenced = set(fences)
    if fences:
        # a lone fence has lost its other one: nothing says what it holds
        inside = _inside(fences, len(lines)) if len(fences) > 1 else set(range(len(lines)))
        outside = [number for number in range(len(lines)) if number not in inside and number not in fenced]
        # where times stand around fences, each prompt has one of its own
        if not any(is_timed(lines[number].strip()) for number in outside):
            left = [number for number in outside if lines[number].strip()]
        dropped = {*left, *fenced}
        lines = ["" if number in dropped else line for number, line in enumerate(lines)]
    lines, before = _without_preamble(lines)
    return Bare("\n".join(lines), tuple(sorted(number + 1 for number in (*left, *before))))


def _inside(fences: list[int], count: int) -> set[int]:
    inside: set[int] = set()
    for opened, closed in zip(fences[::2], [*fences[1::2], count], strict=False):
        inside.update(range(opened + 1, closed))
    return inside


def _is_assignment(line: str, after: str) -> bool:
    """Whether a line gives a name to a list or an object that begins there or in the next: `x = {"0": "a"}`."""
    if match_header(line) or not _ASSIGNED.match(f"{line}\n{after}"):
        return False
    value = f"{line.partition('=')[2].strip()}\n{after}".lstrip()
    return starts_structure(value) or _TUPLE.match(value) is not None


def _without_preamble(lines: list[str]) -> tuple[list[str], list[int]]:
    """Lines without those that introduce JSON, which are blank instead, and the numbers of these."""
    before = []
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            continue
        assigned = _is_assignment(bare, "".join(lines[number + 1 : number + 2]).strip())
        if starts_structure(bare) or assigned:
            kept = [*([""] * number), *lines[number:]]
            if assigned:
                kept[number] = bare.partition("=")[2]
            return kept, before
        if not is_preamble(bare):
            break
        before.append(number)
    return lines, []
