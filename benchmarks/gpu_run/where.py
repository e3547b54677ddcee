"""Where does a steady chunk's time go? Kernels by kind, launches, and the share of time that the device is busy."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from memflow_core.attention import AttentionShareMeter

from .bench import Bench

# the first that fits; `elementwise and other` is what fits none
KINDS = {
    "attention": ("flash", "fmha", "sdpa", "cudnn_generated", "attention", "topk_attention"),
    "products": ("gemm", "cutlass", "nvjet", "xmma", "mm", "linear", "splitk", "cublas"),
    "norms": ("norm",),
    "copies": ("copy", "memcpy", "memset", "index", "cat"),
}
OTHER = "elementwise and other"
LARGEST = 12


@torch.inference_mode()
def where(bench: Bench) -> dict[str, Any]:
    """Profile one steady chunk of the usual settings, share meter included, as in the nodes."""
    stream = bench.stream()
    stream.meter = AttentionShareMeter()
    for _ in range(bench.fill):
        next(stream)
    bench.synchronize()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.on_gpu else [])]
    with profile(activities=activities) as profiler:
        began = time.perf_counter()
        next(stream)
        bench.synchronize()
        wall_ms = 1000 * (time.perf_counter() - began)
    spent, count, names = Counter[str](), 0, Counter[str]()
    for event in profiler.key_averages():
        # operations of the host are told with the time of their kernels, which are here too
        if bench.on_gpu and event.device_type != DeviceType.CUDA:
            continue
        taken = event.self_device_time_total if bench.on_gpu else event.self_cpu_time_total
        if taken <= 0:
            continue
        spent[kind_of(event.key)] += taken / 1000
        names[event.key[:120]] += taken / 1000
        count += event.count
    return {
        "wall_ms": wall_ms,
        "by_kind_ms": dict(spent),
        "launches": count,
        "busy": sum(spent.values()) / wall_ms,
        "largest_ms": dict(names.most_common(LARGEST)),
    }


def kind_of(name: str) -> str:
    """The kind of work that a kernel of this name does."""
    lower = name.lower()
    return next((kind for kind, words in KINDS.items() if any(word in lower for word in words)), OTHER)
