"""Describe the machine of a measurement, and measure its peaks of operations and bandwidth."""

from __future__ import annotations

import platform
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from memflow_core.attention import time_ms

PEAK_TRIES = 5


def conditions(device: torch.device) -> dict[str, object]:
    """Describe a device and this process, for the head of a table and for JSON."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": gpu or _processor(),
        "clock": "device events" if gpu else "CPU time of the process",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if gpu else None,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0]} ({len(names)} threads)" if names else platform.processor() or platform.machine()


def peak_bytes(device: torch.device) -> int:
    """Return the most memory held so far: the device's allocations, or the process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class Peaks:
    """Measured peaks of a device: operations and bytes a second."""

    flops: float
    bandwidth: float

    def floor_ms(self, flops: float, moved: float) -> float:
        """Return the least time in which so many operations and bytes can be done."""
        return 1000 * max(flops / self.flops, moved / self.bandwidth)


@torch.inference_mode()
def measured_peaks(device: torch.device, dtype: torch.dtype) -> Peaks:
    """Measure the peaks of a device by a large matrix product and a large copy, the best of a few tries."""
    side, length = (8192, 2**28) if device.type == "cuda" else (1024, 2**25)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product_ms = _best_ms(device, lambda: a @ b)
    source = torch.empty(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_ms = _best_ms(device, lambda: target.copy_(source))
    return Peaks(2 * side**3 / product_ms * 1000, 2 * length / copy_ms * 1000)


def _best_ms(device: torch.device, work: Callable[[], object]) -> float:
    work()
    return min(time_ms(device, work) for _ in range(PEAK_TRIES))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, quartiles and extremes of values."""
    if len(values) < 2:
        return dict.fromkeys(("median", "q1", "q3", "min", "max"), values[0])
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "q1": q1, "q3": q3, "min": min(values), "max": max(values)}
