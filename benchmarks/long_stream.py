"""Does a stream stay flat? `python -m benchmarks.long_stream [--frames 2000]`

Streams a small random model on the CPU and prints peak memory and milliseconds a chunk, early and late.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import sys
import time
from dataclasses import dataclass

import torch

from memflow_core.backbone import Backbone
from memflow_core.config import MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import WanModel
from memflow_core.stream import LatentShape, Stream

WARM_CHUNKS = 20


@dataclass(frozen=True)
class Flatness:
    """Peak resident bytes after the first chunks and at the end; milliseconds of every chunk after them."""

    chunks: int
    early_bytes: int
    late_bytes: int
    chunk_ms: list[float]


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(frames: int, seed: int = 0) -> Flatness:
    torch.manual_seed(seed)
    model = WanModel(ModelConfig(dim=64, num_heads=2, num_layers=4, ffn_dim=128, text_dim=16)).requires_grad_(False)
    stream = Stream(
        Backbone(model),
        LatentShape(8, 12),
        MemoryConfig(top_k=3, record_every=1),
        SamplingConfig(steps=(1000, 500)),
        noise=seed,
        frames=frames,
    )
    prompts = torch.randn(4, 1, 12, 16)
    chunk_ms: list[float] = []
    early = 0
    for index in range(-(-frames // 3)):
        if index % 25 == 0:
            stream.set_prompt(prompts[index // 25 % 4])
        started = time.perf_counter()
        next(stream)
        if index >= WARM_CHUNKS:
            chunk_ms.append(1000 * (time.perf_counter() - started))
        elif index == WARM_CHUNKS - 1:
            early = peak_bytes()
    return Flatness(index + 1, early, peak_bytes(), chunk_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000, help="latent frames to stream")
    frames = parser.parse_args().frames
    if frames < 100 * 3:
        parser.error(f"--frames is {frames}, but must be at least 300 to compare early with late.")
    torch.set_num_threads(1)
    flat = measure(frames)
    tenth = max(len(flat.chunk_ms) // 10, 1)
    print(
        f"{platform.machine()}, 1 thread, torch {torch.__version__}, float32, dim 64, 4 layers, "
        f"24 tokens a latent frame, 2 steps, sink 3, window 9, bank 3 (every chunk), top 3"
    )
    print(f"{flat.chunks} chunks ({frames} latent frames)")
    print(
        f"peak memory after chunk {WARM_CHUNKS}: {flat.early_bytes / 2**20:.1f} MiB, at the end: "
        f"{flat.late_bytes / 2**20:.1f} MiB, ratio {flat.late_bytes / flat.early_bytes:.4f}"
    )
    print(
        f"milliseconds a chunk, median of the first tenth: {statistics.median(flat.chunk_ms[:tenth]):.2f}, "
        f"of the last: {statistics.median(flat.chunk_ms[-tenth:]):.2f}"
    )


if __name__ == "__main__":
    main()
