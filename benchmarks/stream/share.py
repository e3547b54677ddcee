"""Measure the share of a chunk's CPU time that is spent inside matrix products and attention."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from statistics import median

from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("linear", "_linear_pointwise", "addmm", "mm", "bmm", "baddbmm", "matmul")
ATTENTION = ("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu")


class CpuTimeByOperation(TorchDispatchMode):
    """Dispatch mode that adds up each operation's CPU time, in seconds, in `spent`."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: Counter[str] = Counter()

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        started = time.thread_time()
        result = operation(*arguments, **(named or {}))
        self.spent[operation.overloadpacket.__name__] += time.thread_time() - started
        return result


def share_in_products_and_attention(make_chunk: Callable[[], object], pairs: int = 5) -> float:
    """Return the share as the median over pairs of chunks: one timed by operation, one as a whole, Python included."""
    return median(_share_of_a_pair(make_chunk) for _ in range(pairs))


def _share_of_a_pair(make_chunk: Callable[[], object]) -> float:
    with CpuTimeByOperation() as by_operation:
        make_chunk()
    started = time.thread_time()
    make_chunk()
    whole = time.thread_time() - started
    return sum(by_operation.spent[name] for name in (*PRODUCTS, *ATTENTION)) / whole
