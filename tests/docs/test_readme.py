"""What README and docs promise is there: files, workflows, messages and commands. The example runs as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

from tests.docs import help_pages as pages

ROOT = Path(__file__).resolve().parents[2]
README, QUESTIONS, CONTRIBUTING, AGENTS = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/questions.md", "CONTRIBUTING.md", "AGENTS.md")
)
PARTS = {"test-core": "core", "test-nodes": "setup", "test-browser": "setup"}
PAGES = [*(file.name for file in ROOT.glob("*.md")), *(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))]


def column(page: str, head: str) -> list[str]:
    """First cells of the rows of the table whose head starts so."""
    rows = page[page.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_and_pictures_lead_somewhere(page):
    file = ROOT / page
    targets = re.findall(r"\]\(([^)#\s]+)", file.read_text(encoding="utf-8"))
    gone = [target for target in targets if "://" not in target and not (file.parent / target).is_file()]
    assert gone == []


def test_every_workflow_is_listed():
    assert sorted(column(README, "workflow")) == sorted(file.stem for file in (ROOT / "workflows").glob("*.json"))


def test_every_node_is_listed():
    schemas = json.loads((ROOT / "tests" / "nodes" / "schemas.json").read_text())
    names = [node["display_name"].removeprefix("MemFlow ") for node in schemas.values()]
    listed = [name for row in column(README, "node") for name in row.removeprefix("MemFlow ").split(", ")]
    assert sorted(listed) == sorted(names)


def test_quoted_messages_are_those_of_the_code():
    quotes = [quote for row in column(QUESTIONS, "message") for quote in re.findall(r"`([^`]+)`", row)]
    known = pages.messages()
    assert quotes and [quote for quote in quotes if not pages.is_quoted_from(quote, known)] == []


def test_presets_that_are_named_for_a_card_are_there():
    known = pages.messages()
    named = re.findall(r"\*([^*\n]+)\*", README[README.index("## Cards") :].split("\n\n")[1].replace("**Presets**", ""))
    assert {"Sharper memory", "12 GB", "8 GB"} <= set(named)
    assert [name for name in named if name not in known] == []


def test_make_targets_that_are_named_are_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"`make ([a-z-]+)[ `]", README + CONTRIBUTING + AGENTS)
    assert {"demo", "test", "check", "test-fast"} <= set(named)
    assert [name for name in named if name not in targets] == []


def test_every_folder_of_tests_is_run_by_one_part():
    lines = (ROOT / "Makefile").read_text().split("\n")
    parts = [lines[lines.index(f"{part}: {needs}") + 1 :] for part, needs in PARTS.items()]
    run = [name for part in parts for name in re.findall(r"tests/(\w+)", "\n".join(part).split("\n\n")[0])]
    assert sorted(run) == sorted(
        {file.relative_to(ROOT / "tests").parts[0] for file in ROOT.glob("tests/*/**/test_*.py")}
    )


def test_modules_that_are_named_as_commands_are_there():
    named = {name for page in PAGES for name in re.findall(r"python -m ([a-z_.]+)", (ROOT / page).read_text())}
    ours = [name for name in named if name.split(".")[0] in ("tools", "training", "benchmarks", "tests")]
    gone = [
        name
        for name in ours
        if not any(
            (ROOT / path).is_file()
            for path in (name.replace(".", "/") + ".py", name.replace(".", "/") + "/__main__.py")
        )
    ]
    assert ours and gone == []


def test_the_python_example_makes_a_video_as_it_stands(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line and "import" not in line]) <= 15
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "0.00 s, bank: []" and len(lines) == 13
    remembered = [float(time) for time in re.findall(r"'([\d.]+) s'", lines[-1])]
    assert min(remembered) < 3, "the bank holds none of the moments that show the robot"
    with av.open(tmp_path / "robot.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 12 * 13 - 3
    assert (tmp_path / "robot.safetensors").is_file()
