"""Is a stream right on this device? No wait inside a chunk, resumed bit for bit, and near to plain in every setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from memflow_core.attention import AttentionShareMeter
from memflow_core.config import MemoryConfig
from memflow_core.model import Backbone
from memflow_core.state import capture, resume
from memflow_core.stream import Stream

from .bench import Bench, relative_error
from .record import MissError, sentence_of

WATCHED = {
    "bank": MemoryConfig(),
    "SMA": MemoryConfig(top_k=3),
    "attention": MemoryConfig(retrieval="attention", record_every=1, pins=(0,)),
    "FP8 cache": MemoryConfig(cache="fp8"),
    "relative": MemoryConfig(positions="relative"),
}
# chunks until candidates have met a full bank, where each chunk records one
UNTIL_FULL = 8
COMPARED = 3  # the chunk whose latents are compared
# of bfloat16 and of eight bits; a wrong kernel is off by far more
FAR = {
    "compiled": 5e-2,
    "RoPE and write in one": 5e-2,
    "relative, in one": 5e-2,
    "FP8 cache": 2e-1,
    "flash": 5e-2,
    "cudnn": 5e-2,
    "flash 3": 5e-2,
}


@contextmanager
def no_waits(bench: Bench) -> Iterator[None]:
    """Let torch raise where the host waits for the device, as far as it knows; on a CPU nothing does."""
    if not bench.on_gpu:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@torch.inference_mode()
def waits(bench: Bench) -> dict[str, Any]:
    """For each setting, whether the host waits for the device inside a chunk. Raises MissError where it does."""
    found: dict[str, Any] = {"watched": bench.on_gpu}
    for name, memory in WATCHED.items():
        stream = bench.stream(memory)
        stream.meter = AttentionShareMeter()
        watch(stream, bench)
        try:
            for _ in range(UNTIL_FULL):
                next(stream)
            found[name] = "no wait"
        except Exception as error:
            found[name] = sentence_of(error)
        del stream
        bench.clean()
    waiting = [name for name in WATCHED if found[name] != "no wait"]
    if waiting:
        raise MissError(f"inside a chunk of {', '.join(waiting)} something fails or waits for the device.", found)
    return found


def watch(stream: Stream, bench: Bench) -> None:
    """Make a stream's chunks under `no_waits`, between what is done at their boundaries."""
    make = stream._make_chunk

    def watched(prompt: Any, given: Tensor | None) -> Tensor:
        with no_waits(bench):
            return make(prompt, given)

    stream._make_chunk = watched


@torch.inference_mode()
def resumed(bench: Bench) -> dict[str, Any]:
    """A state that is saved and resumed goes on to the same bits. Raises MissError where it does not."""
    found = {}
    for name in ("bank", "SMA"):
        stream = bench.stream(WATCHED[name])
        for _ in range(bench.fill):
            next(stream)
        weights, attention = bench.weights, bench.backends[bench.fastest]
        backbone = Backbone(weights.tree(None), weights.dtype, attention=attention, reader="fastest")
        other = resume(capture(stream), backbone, device=bench.device)
        found[name] = all(torch.equal(next(stream).latents, next(other).latents) for _ in range(2))
        del stream, other
        bench.clean()
    if not all(found.values()):
        raise MissError("a resumed stream goes on to other numbers.", {"equal": found})
    return {"equal": found}


@torch.inference_mode()
def near(bench: Bench) -> dict[str, Any]:
    """Relative error of a chunk's latents against the plain stream, torch's own attention. Raises MissError if far.

    `relative positions` are another computation: how far it is says something of the rotation alone. `relative, in one`
    is against that.
    """

    def latents(memory: MemoryConfig | None = None, **how: Any) -> Tensor:
        stream = bench.stream(memory, **how)
        return [next(stream).latents for _ in range(COMPARED)][-1]

    plain = latents(backend="torch")
    found: dict[str, Any] = {"again": relative_error(latents(backend="torch"), plain)}
    ways: dict[str, dict[str, Any]] = {name: {"backend": name} for name in bench.backends if name != "torch"}
    ways |= {"FP8 cache": {"memory": MemoryConfig(cache="fp8"), "backend": "torch"}}
    ways |= {"relative positions": {"memory": MemoryConfig(positions="relative"), "backend": "torch"}}
    # a compiler of machine code is not on every CPU's machine
    if bench.on_gpu:
        ways |= {"compiled": {"compiled": True, "backend": "torch"}}
    against: dict[str, Tensor] = {}
    if bench.fuses_write:
        relative = MemoryConfig(positions="relative")
        ways |= {"RoPE and write in one": {"backend": "torch", "fused_write": True}}
        ways |= {"relative, in one": {"memory": relative, "backend": "torch", "fused_write": True}}
        against |= {"relative, in one": latents(relative, backend="torch")}
    for name, how in ways.items():
        try:
            found[name] = relative_error(latents(**how), against.get(name, plain))
        except Exception as error:
            found[name] = sentence_of(error)
    far = [name for name, limit in FAR.items() if name in found and not _within(found[name], limit)]
    if far:
        raise MissError(f"{', '.join(far)} is far from plain.", found)
    return found


def _within(error: Any, limit: float) -> bool:
    return isinstance(error, float) and error <= limit
