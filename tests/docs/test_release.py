"""What a tag publishes: its version, the changelog's section, and only what the workflows may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tools.release_notes import release_notes

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION = re.search(r'^version = "(.+)"$', PYPROJECT, re.MULTILINE).group(1)


def test_the_version_of_today_has_notes():
    notes = release_notes(f"v{VERSION}", PYPROJECT, CHANGELOG)
    assert notes.startswith("Stored: ") and "## [" not in notes


@pytest.mark.parametrize(
    "tag, changelog, said",
    [
        ("v9.9.9", CHANGELOG, f"version {VERSION}"),
        (VERSION, CHANGELOG, f"tag v{VERSION}"),
        (f"v{VERSION}", "# Changelog\n\n## [Unreleased]\n\nmuch\n", "no section"),
        (f"v{VERSION}", f"## [{VERSION}] - 2026-11-27\n\n## [0.0.1]\n\n- first\n", "empty"),
    ],
)
def test_a_tag_that_fits_nothing_is_refused(tag, changelog, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        release_notes(tag, PYPROJECT, changelog)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_may_read_alone_and_name_versions_of_actions(file):
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job.get("permissions", {}) == ({"contents": "write"} if name == "release" else {}), name
        uses = [step["uses"] for step in job["steps"] if "uses" in step]
        assert [action for action in uses if not re.fullmatch(r"actions/[\w-]+@v\d+", action)] == []
