"""How much does it save to decode and encode while the next chunk is sampled? `python -m benchmarks.pipeline`

Makes video files by the code of MemFlow Stream to Video, with the tiny story model or a medium random one, and the tiny
story VAE. The variants run nothing, the encoder, or decoder and encoder beside the sampling. They take turns. The time
counts until the last frame is in the finished file.
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
from .in_comfyui import STEPS, Timing, VideoJob, comfyui_folder, pack_nodes
from .sizes import SIZES


def variants(job: VideoJob) -> dict[str, Any]:
    """Return the overlaps to measure, by name."""
    host = job.nodes.host
    cuda = job.vae.device.type == "cuda"
    beside = host.Overlap(host.IN_STREAM if cuda else host.IN_THREAD, True, "asked for.")
    return {"off": host.OFF, "encode": host.Overlap(None, True, "asked for."), "decode+encode": beside}


def measure(job: VideoJob, repeats: int) -> dict[str, list[Timing]]:
    """Make `repeats` files of each variant, in turn, after a first turn that only warms up."""
    timings: dict[str, list[Timing]] = {name: [] for name in variants(job)}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats + 1):
            for name, overlap in variants(job).items():
                timing = job.write_file(Path(folder) / f"{turn}_{name}.mp4", overlap)
                if turn:
                    timings[name].append(timing)
    return timings


def summary(timings: list[Timing]) -> dict[str, float]:
    """Return the rates of some files."""
    rates = sorted(timing.frames / timing.wall_s for timing in timings)
    return {
        "frames_per_s": statistics.median(rates),
        "slowest": rates[0],
        "fastest": rates[-1],
        "cpu_ms_per_frame": statistics.median(1000 * timing.cpu_s / timing.frames for timing in timings),
    }


def conditions(job: VideoJob, arguments: argparse.Namespace) -> dict[str, Any]:
    fit = job.nodes.host.overlap_of(job.request.model.load_device, job.vae.device)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        **machine.conditions(job.vae.device),
        "clock": "wall time",
        "load_at_start": load,
        "size": arguments.size,
        "pixels": [job.request.width, job.request.height],
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
        job = VideoJob(nodes, arguments.size, arguments.chunks)
        result = {"conditions": conditions(job, arguments)}
        print(json.dumps(result["conditions"], indent=1))
        timings = measure(job, arguments.repeats)
    result["variants"] = {name: summary(files) for name, files in timings.items()}
    for name, numbers in result["variants"].items():
        print(
            f"{name:14} {numbers['frames_per_s']:8.2f} frames/s (from {numbers['slowest']:.2f} to "
            f"{numbers['fastest']:.2f}), {numbers['cpu_ms_per_frame']:.1f} ms of CPU time a frame"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
