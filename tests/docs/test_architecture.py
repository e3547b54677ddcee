"""The architecture page is true: its tables are those of the doors, and what its walks name is where they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memflow_core.state import format as state_format
from tests.core.doors import CORE, NODES, Wing

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:memflow_core|nodes|web)/[\w./]+\.(?:py|js))`(?:\s+`(\w+)`)?")


def rows(head: str) -> list[list[str]]:
    """Cells of the table under the heading that starts so."""
    section = PAGE[PAGE.index(f"## {head}") :].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("head, wing", [("Rooms of `memflow_core`", CORE), ("Rooms of the other", NODES)])
def test_the_page_has_the_table_of_the_doors(head: str, wing: Wing):
    said = {row[0].strip("`").replace("node files", "*"): set(row[2].split(", ")) - {""} for row in rows(head)}
    shared = {wing.shared} - {""}
    assert said == {room: (set(may.split()) | shared) - {room} for room, may in wing.may.items() if room != "__init__"}


def test_every_room_is_a_folder_or_a_file():
    for room in CORE.may:
        assert (ROOT / "memflow_core" / room).is_dir() or (ROOT / "memflow_core" / f"{room}.py").is_file(), room


def test_what_the_walks_name_is_there():
    named = NAMED.findall(PAGE)
    gone = []
    for path, name in named:
        text = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else None
        if text is None or (name and not re.search(rf"\b(?:def|class|function) {name}\b|^{name}\b.* = ", text, re.M)):
            gone.append(f"{path} {name}".strip())
    assert len(named) > 40 and gone == []


def test_the_version_of_the_state_file_is_said():
    (said,) = [row[2] for row in rows("What is stored") if row[0] == "stream state"]
    readable = " and ".join(map(str, state_format.READABLE))
    assert said == f"{state_format.VERSION}, reads {readable}"
    assert f"state file version {said}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_words_are_few_and_no_row_is_empty():
    words = rows("Words")
    assert len(words) <= 18 and all(word and meaning for word, meaning in words)
