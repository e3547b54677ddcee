"""The sections in their order, and the command line."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..in_comfyui import comfyui_folder, pack_nodes
from ..machine import conditions, measured_peaks
from .bench import Bench
from .cap import cap
from .decode import decode
from .disk import disk, disk_dynamic
from .exact import attention_errors
from .golden import replay_recordings
from .record import Record, Section
from .right import near, resumed, waits
from .speed import WAYS, speed
from .where import where

DEADLINE_S = 520.0
PACKAGES = ("triton", "numpy", "safetensors", "av", "flash-attn-3", "sageattention", "comfy-aimdo", "comfy-kitchen")
SETTINGS = ("PYTORCH_CUDA_ALLOC_CONF", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TORCHINDUCTOR_CACHE_DIR")
ROOT = Path(__file__).resolve().parents[2]


def sections(bench: Bench, nodes: Callable[[], ModuleType], left_s: Callable[[], float]) -> list[Section]:
    """What is measured, in this order. Seconds are what an H100 is thought to take."""
    found = [
        Section("machine", partial(machine, bench), 2),
        Section("peaks", partial(peaks, bench), 3),
        Section("exact", partial(attention_errors, bench), 45, gate=True),
        Section("golden", partial(replay_recordings, bench), 20, gate=True),
        Section("waits", partial(waits, bench), 35),
        Section("resumed", partial(resumed, bench), 20),
        Section("near", partial(near, bench), 70),
        *(Section(f"speed: {name}", partial(speed, bench, way), way.needs_s) for name, way in WAYS.items()),
        Section("where", partial(where, bench), 15),
        Section("cap", partial(cap, bench), 15),
        Section("decode", lambda: decode(bench, nodes()), 60),
        Section("disk, static VRAM", lambda: disk(bench, nodes()), 60),
        Section("disk, dynamic VRAM", lambda: disk_dynamic(bench, left_s() - 5), 70),
    ]
    # on a CPU nothing of this takes its time, and a deadline holds all the same
    return [Section(one.name, one.work, min(one.needs_s, 5.0), one.gate) for one in found] if bench.tiny else found


def machine(bench: Bench) -> dict[str, Any]:
    """Describe card, versions, commit and conditions."""
    found = conditions(bench.device) | {
        "commit": commit(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "tiny": bench.tiny,
        "dtype": str(bench.dtype),
        "without": list(bench.without),
        "cpu_threads": os.cpu_count(),
    }
    if bench.on_gpu:
        card = torch.cuda.get_device_properties(bench.device)
        found |= {
            "capability": list(torch.cuda.get_device_capability(bench.device)),
            "cudnn": torch.backends.cudnn.version(),
            "memory_gib": card.total_memory / 2**30,
            "multiprocessors": card.multi_processor_count,
            "nvidia_smi": _nvidia_smi(),
        }
    # chosen by a measurement, whose cost is part of a first run
    return found | {"attention": bench.fastest, "offered": list(bench.backends)}


def peaks(bench: Bench) -> dict[str, Any]:
    """Measure the device's peaks of operations and bandwidth."""
    if bench.tiny:
        return {"skipped": "tiny"}
    found = measured_peaks(bench.device, bench.dtype)
    return {"tflop_a_second": found.flops / 1e12, "gb_a_second": found.bandwidth / 1e9}


def commit() -> str:
    """The commit of this tree, and whether files differ from it; MEMFLOW_COMMIT where there is no repository."""
    if named := os.environ.get("MEMFLOW_COMMIT"):
        return named
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def version_of(name: str) -> str | None:
    """Version of an installed package; None where it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _nvidia_smi() -> str:
    wanted = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,temperature.gpu,memory.used"
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={wanted}", "--format=csv"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError as error:
        return str(error)
    return done.stdout.strip() or done.stderr.strip()[:200]


def run(bench: Bench, path: Path, deadline_s: float, only: Sequence[str] = ()) -> Record:
    """Run the sections, and keep their results in `path`. `only`: names, or beginnings of names; empty: all."""
    record = Record(path, deadline_s, bench.clean)
    with ExitStack() as stack:

        @cache
        def nodes() -> ModuleType:
            bench.forget()
            comfyui = comfyui_folder()
            if comfyui is None:
                raise RuntimeError("there is no ComfyUI: `make setup` fetches one, or set COMFYUI_PATH to yours.")
            return stack.enter_context(pack_nodes(comfyui, bench.device))

        chosen = sections(bench, nodes, lambda: record.left_s)
        record.run([one for one in chosen if not only or one.name.startswith(("machine", *only))])
    return record


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_run", description="Is it right on this GPU, and how fast?"
    )
    parser.add_argument("out", type=Path, metavar="OUT.json", help="written anew after each section")
    parser.add_argument("--tiny", action="store_true", help="the same at sizes that a CPU runs in seconds")
    parser.add_argument("--device", help="as torch names it (cuda; with --tiny cpu)")
    parser.add_argument("--deadline", type=float, default=DEADLINE_S, metavar="S", help=f"seconds ({DEADLINE_S:.0f})")
    parser.add_argument("--without", nargs="+", default=(), metavar="NAME", help="attention backends to leave out")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="sections, by the beginning of a name")
    arguments = parser.parse_args()
    device = torch.device(arguments.device or ("cpu" if arguments.tiny else "cuda:0"))
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device: add --tiny to try the command on a CPU.")
    if arguments.tiny:
        torch.set_num_threads(1)
    # before the time is spent
    if not arguments.out.parent.is_dir():
        parser.error(f"the folder of {arguments.out} is not there: make it first.")
    bench = Bench(device, arguments.tiny, tuple(arguments.without))
    record = run(bench, arguments.out, arguments.deadline, arguments.only)
    print(f"failed: {', '.join(record.failed) or 'nothing'}")
    sys.exit(1 if record.failed else 0)
