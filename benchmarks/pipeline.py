"""What does it bring to decode and encode while the next chunk is sampled? `python -m benchmarks.pipeline`

Streams a story to video files through MemFlow Stream to Video's own code, with the tiny story model or a medium random
one, and the tiny story VAE: one thing after another, with the encoder beside, and with decoder and encoder beside the
sampling. Variants take turns. Counted is the time until the last frame is in the finished file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from . import machine
from .in_comfyui import STEPS, Filming, Timing, comfyui_folder, pack_nodes
from .stream.sizes import SIZES


def variants(filming: Filming) -> dict[str, Any]:
    host = filming.nodes.host
    cuda = filming.vae.device.type == "cuda"
    beside = host.Overlap(host.IN_STREAM if cuda else host.IN_THREAD, True, "asked for.")
    return {"off": host.OFF, "encode": host.Overlap(None, True, "asked for."), "decode+encode": beside}


def measure(filming: Filming, repeats: int) -> dict[str, list[Timing]]:
    """Variants in turn; the first turn of all only warms up."""
    timings: dict[str, list[Timing]] = {name: [] for name in variants(filming)}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats + 1):
            for name, overlap in variants(filming).items():
                timing = filming.film(Path(folder) / f"{turn}_{name}.mp4", overlap)
                if turn:
                    timings[name].append(timing)
    return timings


def summary(timings: list[Timing]) -> dict[str, float]:
    rates = sorted(timing.frames / timing.wall_s for timing in timings)
    return {
        "frames_per_s": statistics.median(rates),
        "slowest": rates[0],
        "fastest": rates[-1],
        "cpu_ms_per_frame": statistics.median(1000 * timing.cpu_s / timing.frames for timing in timings),
    }


def conditions(filming: Filming, arguments: argparse.Namespace) -> dict[str, Any]:
    fit = filming.nodes.host.overlap_of(filming.request.model.load_device, filming.vae.device)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        **machine.conditions(filming.vae.device),
        "clock": "wall time",
        "load_at_start": load,
        "size": arguments.size,
        "pixels": [filming.request.width, filming.request.height],
        "steps": STEPS,
        "chunks": arguments.chunks,
        "repeats": arguments.repeats,
        "automatic": {"decode": fit.decode, "encode": fit.encode, "why": fit.why},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="tiny is the tiny story model (tiny)")
    parser.add_argument("--chunks", type=int, default=8, help="chunks of 12 frames in a file")
    parser.add_argument("--repeats", type=int, default=5, help="files of each variant, after one that warms up")
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    comfyui = comfyui_folder()
    if comfyui is None:
        parser.error("there is no ComfyUI: `make setup` fetches one, or set COMFYUI_PATH to yours.")
    with pack_nodes(comfyui, torch.device(arguments.device)) as nodes:
        filming = Filming(nodes, arguments.size, arguments.chunks)
        told = {"conditions": conditions(filming, arguments)}
        print(json.dumps(told["conditions"], indent=1))
        timings = measure(filming, arguments.repeats)
    told["variants"] = {name: summary(files) for name, files in timings.items()}
    for name, numbers in told["variants"].items():
        print(
            f"{name:14} {numbers['frames_per_s']:8.2f} frames/s (from {numbers['slowest']:.2f} to "
            f"{numbers['fastest']:.2f}), {numbers['cpu_ms_per_frame']:.1f} ms of CPU time a frame"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
