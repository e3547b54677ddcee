"""The plan's reading of a graph, and presets, in Node."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("plan.test.mjs")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_plan_logic():
    done = subprocess.run(["node", "--test", TESTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
