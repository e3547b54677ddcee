"""What does it bring to decode and encode while the next chunk is sampled? `python -m benchmarks.pipeline`

Streams a story to video files through MemFlow Stream to Video's own code, with the tiny story model or a medium random
one, and the tiny story VAE: one thing after another, with the encoder beside, and with decoder and encoder beside the
sampling. Variants take turns. Counted is the time until the last frame is in the finished file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from memflow_core.config import ModelConfig
from memflow_core.model import WanModel
from tools.comfy_host import ROOT, Layout
from tools.load_pack import load_pack

FPS = 16.0
STEPS = "1000, 750, 500, 250"
PROMPT = "0s: a robot walks in the meadow"
# model, width and height in pixels
SIZES = {
    "tiny": (None, 64, 64),
    "medium": (ModelConfig(dim=384, num_heads=6, num_layers=6, ffn_dim=1536, text_dim=64), 192, 160),
}


@dataclass(frozen=True)
class Timing:
    """Seconds and frames of one video file."""

    wall_s: float
    cpu_s: float
    frames: int


class Bench:
    """A model, a VAE and a story, to be written again and again."""

    def __init__(self, nodes: ModuleType, size: str, chunks: int):
        self._nodes = nodes
        model, clip, self._vae = nodes.tiny.MemFlowTinyStory.execute().result
        config, width, height = SIZES[size]
        schedule = nodes.prompts.MemFlowPromptSchedule.execute(clip, PROMPT, "").result[0]
        if config is not None:
            model = self._random_model(config, schedule.embeddings[0].shape[-1])
        self._request = nodes.request.Request(
            model, schedule, 0, width, height, 12 * chunks - 3, FPS, STEPS, 5.0, None, None
        )

    def _random_model(self, config: ModelConfig, text_dim: int) -> Any:
        torch.manual_seed(0)
        config = ModelConfig(**asdict(config) | {"text_dim": text_dim})
        return self._nodes.host.wan_model(
            SimpleNamespace(config=config, state_dict=WanModel(config).state_dict()), "default"
        )

    @property
    def fit(self) -> Any:
        """The overlap that this machine is fit for."""
        return self._nodes.host.overlap_of(self._request.model.load_device, self._vae.device)

    def variants(self) -> dict[str, Any]:
        host = self._nodes.host
        cuda = self._vae.device.type == "cuda"
        beside = host.Overlap(host.IN_STREAM if cuda else host.IN_THREAD, True, "asked for.")
        return {"off": host.OFF, "encode": host.Overlap(None, True, "asked for."), "decode+encode": beside}

    def write(self, overlap: Any, path: Path) -> Timing:
        nodes, request = self._nodes, self._request
        plan = nodes.request.prepare(request)
        with nodes.run.story(request, plan, self._vae) as (told, progress):
            writer = nodes.video.VideoWriter(path, FPS, hardware=True)
            started, cpu = time.perf_counter(), time.process_time()
            nodes.video.write_story(told, progress, writer, self._vae, overlap)
            return Timing(time.perf_counter() - started, time.process_time() - cpu, writer.frames)


def measure(bench: Bench, repeats: int) -> dict[str, list[Timing]]:
    """Variants in turn; the first turn of all only warms up."""
    timings: dict[str, list[Timing]] = {name: [] for name in bench.variants()}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats + 1):
            for name, overlap in bench.variants().items():
                timing = bench.write(overlap, Path(folder) / f"{turn}_{name}.mp4")
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


def conditions(bench: Bench, arguments: argparse.Namespace) -> dict[str, Any]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_at_start": load,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
        "size": arguments.size,
        "pixels": list(SIZES[arguments.size][1:]),
        "steps": STEPS,
        "chunks": arguments.chunks,
        "repeats": arguments.repeats,
        "automatic": {"decode": bench.fit.decode, "encode": bench.fit.encode, "why": bench.fit.why},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", choices=SIZES, default="tiny", help="the tiny story model, or a medium random one")
    parser.add_argument("--chunks", type=int, default=8, help="chunks of 12 frames in a file")
    parser.add_argument("--repeats", type=int, default=5, help="files of each variant, after one that warms up")
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    comfyui = Path(os.environ.get("COMFYUI_PATH") or Layout(ROOT).comfyui).resolve()
    with tempfile.TemporaryDirectory() as base:
        bench = Bench(
            load_pack(comfyui, Path(base), cpu=arguments.device == "cpu").nodes, arguments.size, arguments.chunks
        )
        told = {"conditions": conditions(bench, arguments)}
        print(json.dumps(told["conditions"], indent=1))
        timings = measure(bench, arguments.repeats)
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
