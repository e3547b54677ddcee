"""How fast is a steady chunk? Device time and wall time, by memory, backend, compiler and picture."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from memflow_core.attention import AttentionShareMeter, rope_writer
from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import Backbone
from memflow_core.stream import Stream

from ..machine import peak_bytes, spread
from ..stream import chunk_work
from .bench import VIDEO_FRAMES, Bench

GIB = 2**30
MEASURED = 8  # chunks
SMALL = LatentShape(40, 60)  # 480 x 320


@dataclass(frozen=True)
class Way:
    """One way to make chunks.

    backend      of attention, by name; None: the fastest.
    shape        of the latents; None: that of the size.
    meter        with the meter of attention shares, as in the nodes.
    fused_write  RoPE and cache write in one kernel.
    needs_s      seconds that the section may take.
    """

    memory: MemoryConfig = field(default_factory=MemoryConfig)
    backend: str | None = None
    compiled: bool = False
    shape: LatentShape | None = None
    meter: bool = False
    fused_write: bool = False
    needs_s: float = 10.0


# the most telling first, since the time may run out
WAYS = {
    "bank": Way(),
    "SMA": Way(MemoryConfig(top_k=3), needs_s=20),
    "bank, RoPE and write in one": Way(fused_write=True),
    "no memory": Way(MemoryConfig(retrieval="none", sink_frames=0)),
    "bank, flash": Way(backend="flash"),
    "bank, cudnn": Way(backend="cudnn"),
    "bank, compiled": Way(compiled=True, needs_s=40),
    "bank, meter": Way(meter=True),
    "FP8 cache": Way(MemoryConfig(cache="fp8")),
    "bank, 480x320": Way(shape=SMALL),
    "relative": Way(MemoryConfig(positions="relative")),
    "retrieval by attention": Way(MemoryConfig(retrieval="attention")),
    "SMA, compiled": Way(MemoryConfig(top_k=3), compiled=True, needs_s=40),
}


@torch.inference_mode()
def speed(bench: Bench, way: Way) -> dict[str, Any]:
    """Measure steady chunks of one way: their device and wall milliseconds, frames a second, peak and operations."""
    if way.backend is not None and way.backend not in bench.backends:
        return {"skipped": f"{way.backend} is not offered on this device."}
    if way.compiled and not bench.on_gpu:
        return {"skipped": "machine code is compiled on a GPU alone."}
    if way.fused_write and not bench.fuses_write:
        return {"skipped": "our kernels run on a GPU of compute capability 8.0 or more, with Triton, alone."}
    shape = None if bench.tiny else way.shape
    began = time.perf_counter()
    stream = bench.stream(
        way.memory, backend=way.backend, compiled=way.compiled, shape=shape, fused_write=way.fused_write
    )
    stream.meter = AttentionShareMeter() if way.meter else None
    next(stream)
    bench.synchronize()
    first_s = time.perf_counter() - began
    for _ in range(bench.fill):
        next(stream)
    device_ms, wall_ms = steady(bench, stream, 2 if bench.tiny else MEASURED)
    size, read = bench.size, stream.shape
    work = chunk_work(
        size.model, read, memory=way.memory, text_length=size.text_length, dtype_bytes=bench.dtype.itemsize
    )
    return {
        **({"chosen": writer_chosen(bench, way.memory)} if way.fused_write else {}),
        "attention": bench.fastest if way.backend is None else way.backend,
        "first_chunk_s": first_s,
        "device_ms": spread(device_ms),
        "wall_ms": wall_ms,
        "frames_a_second": 1000 * VIDEO_FRAMES / wall_ms,
        "peak_gib": peak_bytes(bench.device) / GIB,
        "tflop": work.flops / 1e12,
        "tflop_a_second": work.flops / 1e9 / wall_ms,
    }


def writer_chosen(bench: Bench, memory: MemoryConfig) -> bool:
    """Whether a stream of the nodes would rotate and write in one kernel here: by its own trial, which is logged."""
    backbone = Backbone(bench.weights.tree(None), bench.dtype, dense="fastest")
    return rope_writer(backbone, memory, SamplingConfig(), bench.size.shape, bench.device, turn_keys=True) is not None


def steady(bench: Bench, stream: Stream, chunks: int) -> tuple[list[float], float]:
    """(device milliseconds of each chunk, gaps of the device included; mean wall milliseconds of a chunk).

    Nothing is waited for between two chunks but what the stream itself waits for. On a CPU both are wall time.
    """
    bench.synchronize()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(chunks + 1)] if bench.on_gpu else []
    walls = [time.perf_counter()]
    if marks:
        marks[0].record()
    for chunk in range(chunks):
        next(stream)
        if marks:
            marks[chunk + 1].record()
        walls.append(time.perf_counter())
    bench.synchronize()
    wall_ms = 1000 * (time.perf_counter() - walls[0]) / chunks
    if marks:
        return [one.elapsed_time(other) for one, other in pairwise(marks)], wall_ms
    return [1000 * (other - one) for one, other in pairwise(walls)], wall_ms
