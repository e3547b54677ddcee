"""Our kernels, compiled ahead of time for cards that are not here; no GPU is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["80", "90"] if find_spec("triton") else [])
def test_the_kernels_compile_for_cards(capability, tmp_path):
    """With tensor cores, loads that run ahead or are wide, and within what a block may share.

    In a process of its own, since this one may have Triton interpret. `python -m benchmarks.kernels` builds all.
    """
    env = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    out = tmp_path / "built.json"
    command = [sys.executable, "-m", "benchmarks.kernels", "--capabilities", capability, "--first", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {one["kernel"]: one for one in json.loads(out.read_text())}
    reader, write = built["topk_triton"], built["rope_write_triton"]
    assert reader["products"] > 0 and reader["loads_ahead"] > 0 and reader["spilled_bytes"] <= 64
    # 16 bytes a thread at a time, and nothing exchanged between threads
    assert write["wide_loads"] > 0 and write["shared_bytes"] == 0 and write["spilled_bytes"] == 0
    assert all(one["shared_bytes"] <= one["shared_limit"] for one in built.values())
