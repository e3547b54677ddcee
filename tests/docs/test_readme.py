"""What README and docs promise is there: files, workflows, nodes, and the messages that they quote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import help_pages as pages

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def column(head: str) -> list[str]:
    """First cells of the rows of the table whose head starts so."""
    rows = README[README.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md")))])
def test_links_and_pictures_lead_somewhere(page):
    file = ROOT / page
    targets = re.findall(r"\]\(([^)#\s]+)", file.read_text(encoding="utf-8"))
    gone = [target for target in targets if "://" not in target and not (file.parent / target).is_file()]
    assert gone == []


def test_every_workflow_is_listed():
    assert sorted(column("workflow")) == sorted(file.stem for file in (ROOT / "workflows").glob("*.json"))


def test_quoted_messages_are_those_of_the_code():
    said = [quote for row in column("message") for quote in re.findall(r"`([^`]+)`", row)]
    known = pages.messages()
    assert said and [quote for quote in said if not pages.is_quoted_from(quote, known)] == []
