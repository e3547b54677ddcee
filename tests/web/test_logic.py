"""The front end's logic, in Node."""

import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))
# playwright brings a Node of its own, so there always is one
NODE = shutil.which("node") or Path(playwright.__file__).parent / "driver" / "node"


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name.partition(".")[0])
def test_logic(file):
    done = subprocess.run([NODE, "--test", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
