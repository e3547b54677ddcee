"""Does the memory promise hold? Streams of the true size under a hard limit of the allocator, with a recache."""

from __future__ import annotations

from typing import Any

import torch

from memflow_core.config import MemoryConfig

from .bench import Bench
from .record import MissError, sentence_of
from .speed import GIB

# of a desktop and of what torch takes beside its allocations
BESIDE_GIB = 1.25
CARDS = {"12 GB": (12, MemoryConfig()), "8 GB, FP8 cache": (8, MemoryConfig(cache="fp8"))}
CHUNKS, SWITCH = 8, 6


@torch.inference_mode()
def cap(bench: Bench) -> dict[str, Any]:
    """Peak of allocations and of what the allocator holds, on cards of two sizes, with bfloat16 weights and no VAE.

    Raises MissError where it does not fit.
    """
    if not bench.on_gpu:
        return {"skipped": "there is no GPU."}
    total = torch.cuda.get_device_properties(bench.device).total_memory
    found: dict[str, Any] = {}
    for name, (size_gb, memory) in CARDS.items():
        bench.clean()
        torch.cuda.set_per_process_memory_fraction(min(1.0, (size_gb - BESIDE_GIB) * GIB / total))
        try:
            _run(bench, memory)
            peaks = torch.cuda.max_memory_allocated(bench.device), torch.cuda.max_memory_reserved(bench.device)
            found[name] = dict(zip(("allocated_gib", "held_gib"), (peak / GIB for peak in peaks), strict=True))
        except torch.OutOfMemoryError as error:
            found[name] = sentence_of(error)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    if any(isinstance(peaks, str) for peaks in found.values()):
        raise MissError("a stream does not fit on a card that it was promised for.", found)
    return found


def _run(bench: Bench, memory: MemoryConfig) -> None:
    stream = bench.stream(memory)
    for chunk in range(CHUNKS):
        if chunk == SWITCH:
            stream.set_prompt(bench.weights.prompts[1])
        next(stream)
