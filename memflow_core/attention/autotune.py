"""Which of several ways to one result is the fastest here: measured, and said with the numbers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Variants = dict[str, Callable[[], Tensor]]
CLOSE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""How far a result may be from what is expected, as a share of the largest number in that."""


@dataclass(frozen=True)
class Timings:
    """Milliseconds of each way, round by round, and why others did not take part."""

    ms: dict[str, list[float]]
    left_out: dict[str, str]

    @property
    def fastest(self) -> str:
        return min(self.ms, key=lambda name: statistics.median(self.ms[name]))

    def __str__(self) -> str:
        timed = [f"{name} {statistics.median(ms):.3g} ms" for name, ms in self.ms.items()]
        return "; ".join([*timed, *(f"{name} left out: {reason}" for name, reason in self.left_out.items())])


def autotune(ways: Variants, expected: Tensor, device: torch.device, rounds: int = 10) -> Timings:
    """Time all ways. One that fails, or whose result is not about `expected`, is left out.

    The first way always takes part: it is what there is without a choice.
    """
    first = next(iter(ways))
    left_out = failures({name: way for name, way in ways.items() if name != first}, expected)
    return Timings(
        times_ms({name: way for name, way in ways.items() if name not in left_out}, device, rounds), left_out
    )


@torch.inference_mode()
def failures(ways: Variants, expected: Tensor) -> dict[str, str]:
    """What is wrong with the ways that something is wrong with."""
    found = {name: _failure(way, expected) for name, way in ways.items()}
    return {name: flaw for name, flaw in found.items() if flaw is not None}


@torch.inference_mode()
def times_ms(ways: Variants, device: torch.device, rounds: int) -> dict[str, list[float]]:
    """`time_ms` of every round: all ways in turn, so that what else the machine does falls on all alike."""
    for way in ways.values():
        way()
    ms: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            ms[name].append(time_ms(device, way))
    return ms


def _failure(way: Callable[[], Tensor], expected: Tensor) -> str | None:
    try:
        result = way()
        error = (result.float() - expected.float()).abs().max() / expected.abs().max()
    except Exception as error:  # whatever a library, a compiler or a driver finds wrong with this machine
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    # written so that NaN is a flaw
    return None if error <= CLOSE[expected.dtype] else f"its result is off by {error:.1%}"


def time_ms(device: torch.device, work: Callable[[], object]) -> float:
    """Milliseconds of `work`: device time on a GPU, else CPU time of all threads, so that no other counts."""
    if device.type != "cuda":
        started = time.process_time()
        work()
        return 1000 * (time.process_time() - started)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)
