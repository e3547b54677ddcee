"""Sections of the command for a GPU that run in ComfyUI, at sizes for a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tools.comfy_host import ROOT


@pytest.mark.slow
def test_chunks_are_decoded_and_films_are_written(comfy_path, tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks.gpu_run", str(out), "--tiny", "--only", "decode", "disk"]
    environment = {**os.environ, "COMFYUI_PATH": str(comfy_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    for way in ("as it is", "channels last", "light decoder"):
        assert results["decode"][way]["ms"]["median"] > 0, way
    for way in ("overlap as chosen", "overlap off"):
        assert results["disk, static VRAM"][way]["frames"] == 33
    assert results["disk, static VRAM"]["vram"] == "static"
    assert results["disk, dynamic VRAM"]["skipped"] == "dynamic VRAM needs a GPU."
