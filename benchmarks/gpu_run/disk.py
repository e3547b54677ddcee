"""How fast do decoded frames reach a file? A story by the code of MemFlow Stream to Video, in ComfyUI.

Static and dynamic VRAM cannot be had in one process: `python -m benchmarks.gpu_run.dynamic` is the dynamic one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from ..in_comfyui import VideoJob
from .bench import Bench

CHUNKS, TINY_CHUNKS = 20, 3


def disk(bench: Bench, nodes: ModuleType) -> dict[str, Any]:
    """Frames a second of a story, decode beside the sampling and not, in the precision that the nodes choose."""
    size, chunks = ("tiny", TINY_CHUNKS) if bench.tiny else ("1.3b", CHUNKS)
    job, found = VideoJob(nodes, size, chunks), {}
    host = nodes.host
    found["dtype"] = str(host.dtype_of(job.request.model))
    dynamic = getattr(job.request.model, "is_dynamic", lambda: False)()
    found["vram"] = "dynamic" if dynamic else "static"
    ways = {"overlap as chosen": None} if bench.tiny else {"warming up": None, "overlap as chosen": None}
    ways["overlap off"] = host.OFF
    with TemporaryDirectory() as folder:
        for number, (name, overlap) in enumerate(ways.items()):
            timing = job.write_file(Path(folder) / f"{number}.mp4", overlap)
            found[name] = {
                "frames": timing.frames,
                "wall_s": timing.wall_s,
                "frames_a_second": timing.frames / timing.wall_s,
                "cpu_s": timing.cpu_s,
                "overlap": timing.overlap,
            }
    return found


def disk_dynamic(bench: Bench, limit_s: float) -> dict[str, Any]:
    """`disk` in a process with dynamic VRAM, as ComfyUI starts on NVIDIA."""
    if not bench.on_gpu:
        return {"skipped": "dynamic VRAM needs a GPU."}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "dynamic.json"
        command = [sys.executable, "-m", "benchmarks.gpu_run.dynamic", str(file), *(["--tiny"] if bench.tiny else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, limit_s), check=False)
        if not file.exists():
            raise RuntimeError(f"the process ended with {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
        return json.loads(file.read_text())
