"""The front end's logic, in Node."""

import json
import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

from memflow_core.schedule import words

TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))
# playwright brings a Node of its own, so there always is one
NODE = shutil.which("node") or Path(playwright.__file__).parent / "driver" / "node"


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name.partition(".")[0])
def test_logic(file):
    done = subprocess.run([NODE, "--test", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_knows_the_same_words_of_times():
    names = ["UNIT_WORDS", "TIME_WORDS", "TO_WORDS", "TO_SIGNS", "TAIL_WORDS", "LABEL_WORDS", "PART_WORDS"]
    page = Path(__file__).parents[2] / "web/js/schedule/vocabulary.js"
    load = f"const all = await import({json.dumps(page.as_uri())});"
    program = f"{load} console.log(JSON.stringify({names}.map(name => all[name])));"
    done = subprocess.run([NODE, "--input-type=module", "-e", program], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    assert [[list(row) for row in words.UNIT_WORDS], *(getattr(words, name) for name in names[1:])] == theirs
