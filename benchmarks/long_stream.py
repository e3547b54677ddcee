"""Do memory and time stay flat over a long stream? `python -m benchmarks.long_stream [--frames N] [--cache model|fp8]`

Streams a small random model on the CPU, with the log that the nodes keep of it, and prints peak memory and milliseconds
a chunk, early and late. An hour at 16 video frames a second is 14,400 latent frames.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from dataclasses import dataclass

import torch

from memflow_core.attention import AttentionShareMeter
from memflow_core.config import CACHES, LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.play import MemoryLog
from memflow_core.schedule import ChunkGrid
from memflow_core.stream import Stream

from .machine import peak_bytes

CPU = torch.device("cpu")
WARM_CHUNKS = 20
CHUNK_FRAMES = 3


@dataclass(frozen=True)
class Flatness:
    """Memory and time of a stream, early and late.

    early_bytes   peak resident memory after the first chunks.
    late_bytes    peak resident memory at the end.
    chunk_ms      milliseconds of every chunk after the first ones.
    trace_bytes   size of the trace of the memory's decisions, which alone grows with the length.
    report_bytes  size of the same as text, as a node's report has it.
    """

    chunks: int
    early_bytes: int
    late_bytes: int
    chunk_ms: list[float]
    trace_bytes: int
    report_bytes: int


def measure(frames: int, cache: str = "model", seed: int = 0) -> Flatness:
    """Stream `frames` latent frames of a small random model, with a prompt switch every 25 chunks."""
    torch.manual_seed(seed)
    model = WanModel(ModelConfig(dim=64, num_heads=2, num_layers=4, ffn_dim=128, text_dim=16)).requires_grad_(False)
    stream = Stream(
        Backbone(model),
        LatentShape(8, 12),
        memory=MemoryConfig(top_k=3, record_every=1, cache=cache),
        sampling=SamplingConfig(steps=(1000, 500)),
        seed=seed,
        frames=frames,
    )
    stream.meter = AttentionShareMeter()
    log = MemoryLog(ChunkGrid(CHUNK_FRAMES, 16.0))
    prompts = torch.randn(4, 1, 12, 16)
    chunk_ms: list[float] = []
    early = 0
    for index in range(-(-frames // CHUNK_FRAMES)):
        if index % 25 == 0:
            stream.set_prompt(prompts[index // 25 % 4])
        started = time.perf_counter()
        log.chunk(next(stream))
        if index >= WARM_CHUNKS:
            chunk_ms.append(1000 * (time.perf_counter() - started))
        elif index == WARM_CHUNKS - 1:
            early = peak_bytes(CPU)
    # before the report, which a node makes once the stream has ended
    late = peak_bytes(CPU)
    return Flatness(
        chunks=index + 1,
        early_bytes=early,
        late_bytes=late,
        chunk_ms=chunk_ms,
        trace_bytes=stream.trace.nbytes,
        report_bytes=len(json.dumps(stream.trace.records)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000, help="latent frames to stream")
    parser.add_argument("--cache", choices=CACHES, default="model", help="precision of keys and values (model)")
    arguments = parser.parse_args()
    frames = arguments.frames
    if frames < 100 * CHUNK_FRAMES:
        parser.error(f"--frames is {frames}, but must be at least 300 to compare early with late.")
    torch.set_num_threads(1)
    flat = measure(frames, arguments.cache)
    tenth = max(len(flat.chunk_ms) // 10, 1)
    print(
        f"{platform.machine()}, 1 thread, torch {torch.__version__}, float32, dim 64, 4 layers, "
        f"24 tokens a latent frame, 2 steps, sink 3, window 9, bank 3 (every chunk), top 3, cache {arguments.cache}"
    )
    print(f"{flat.chunks} chunks ({frames} latent frames)")
    print(
        f"peak memory after chunk {WARM_CHUNKS}: {flat.early_bytes / 2**20:.1f} MiB, at the end: "
        f"{flat.late_bytes / 2**20:.1f} MiB, ratio {flat.late_bytes / flat.early_bytes:.4f}"
    )
    print(f"of that the trace: {flat.trace_bytes / 2**20:.2f} MiB; its report: {flat.report_bytes / 2**20:.2f} MiB")
    print(
        f"milliseconds a chunk, median of the first tenth: {statistics.median(flat.chunk_ms[:tenth]):.2f}, "
        f"of the last: {statistics.median(flat.chunk_ms[-tenth:]):.2f}"
    )


if __name__ == "__main__":
    main()
