"""Time variants of one computation and pick the fastest.

As Triton's autotune does, but any callables take part, and a variant whose result is wrong is left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Variants = dict[str, Callable[[], Tensor]]
"""Callables by name, each giving the same tensor."""

CLOSE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""How far a result may be from what is expected, as a share of the largest number in that."""

CLEARLY = 0.97
"""The share of the first variant's time that a faster one may take."""


@dataclass(frozen=True)
class Timings:
    """Milliseconds of each variant, round by round, and why others were left out."""

    ms: dict[str, list[float]]
    left_out: dict[str, str]

    @property
    def fastest(self) -> str:
        """The variant with the lowest median. The first one gives way to another that takes clearly less time alone:
        two that are alike must not take turns from one process to the next, whose last digits would differ."""
        medians = {name: statistics.median(ms) for name, ms in self.ms.items()}
        first, best = next(iter(medians)), min(medians, key=medians.__getitem__)
        return best if medians[best] < CLEARLY * medians[first] else first

    def __str__(self) -> str:
        timed = [f"{name} {statistics.median(ms):.3g} ms" for name, ms in self.ms.items()]
        return "; ".join([*timed, *(f"{name} left out: {reason}" for name, reason in self.left_out.items())])


def autotune(
    variants: Variants,
    expected: Tensor,
    device: torch.device,
    *,
    rounds: int = 10,
    known: Mapping[str, str] | None = None,
) -> Timings:
    """Time all variants. One that fails, or whose result is not close to `expected`, is left out.

    The first variant always takes part: it is the fallback.

    expected  what every variant gives, of any shape, in one of the dtypes of `CLOSE`.
    known     why some are left out already, by name.
    """
    first = next(iter(variants))
    left_out = {name: reason for name, reason in (known or {}).items() if name != first}
    tried = {name: variant for name, variant in variants.items() if name != first and name not in left_out}
    left_out |= failures(tried, expected)
    usable = {name: variant for name, variant in variants.items() if name not in left_out}
    return Timings(times_ms(usable, device, rounds), left_out)


@torch.inference_mode()
def failures(variants: Variants, expected: Tensor) -> dict[str, str]:
    """The reason, by name, of each variant that fails or gives a wrong result."""
    found = {name: _failure(variant, expected) for name, variant in variants.items()}
    return {name: failure for name, failure in found.items() if failure is not None}


@torch.inference_mode()
def times_ms(variants: Variants, device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each variant and round, after one warm-up.

    Variants take turns, so that what else the machine does falls on all alike.
    """
    for variant in variants.values():
        variant()
    ms: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            ms[name].append(time_ms(device, variant))
    return ms


def _failure(variant: Callable[[], Tensor], expected: Tensor) -> str | None:
    try:
        result = variant()
        # head by head: float32 copies of all at once may be more than there is room for
        heads = zip(result.unbind(1), expected.unbind(1), strict=True) if expected.ndim > 1 else [(result, expected)]
        error = torch.stack([(one.float() - other.float()).abs().max() for one, other in heads]).max()
        error = error / expected.abs().max()
    except Exception as error:  # anything a library, a compiler or a driver may raise on this machine
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    # written so that NaN is a failure
    return None if error <= CLOSE[expected.dtype] else f"its result is off by {error:.1%}"


def time_ms(device: torch.device, work: Callable[[], object]) -> float:
    """Milliseconds of `work`: device time on a GPU, else CPU time of all threads of this process."""
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
