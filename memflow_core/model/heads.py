"""Heads of a model that this process attends with, where one stream may run in several processes.

Whatever averages over heads (retrieval scores, shares of attention) or lists them (choices of SMA, a state's keys)
asks a `HeadShare`; alone in its process a model has all its heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class HeadShare(Protocol):
    """Which heads are this process's own, and how numbers of all heads come together.

    Every process of the stream must call a method with tensors alike, in the same order; all get the same bits back.

    total  heads of the model.
    own    those of this process; several processes hold them in the order of their ranks.
    alone  whether no other process takes part, not even one without heads.
    """

    total: int
    own: slice
    alone: bool

    @property
    def count(self) -> int:
        """How many heads are this process's own."""
        return self.own.stop - self.own.start

    def sum(self, x: Tensor) -> Tensor:
        """Add up x, a floating point tensor of any shape that is a sum over own heads -> as x, over all heads."""
        ...

    def mean(self, x: Tensor) -> Tensor:
        """Average x, a floating point tensor of any shape that is a mean over own heads -> as x, over all heads."""
        ...

    def gather(self, parts: Sequence[Tensor], dim: int) -> list[Tensor]:
        """Join own heads with all others: tensors alike, [..., own heads at `dim`, ...] -> [..., all heads, ...]."""
        ...


class AllHeads(HeadShare):
    """Every head of a model, in one process."""

    alone = True

    def __init__(self, total: int):
        self.total = total
        self.own = slice(0, total)

    def sum(self, x: Tensor) -> Tensor:
        return x

    def mean(self, x: Tensor) -> Tensor:
        return x

    def gather(self, parts: Sequence[Tensor], dim: int) -> list[Tensor]:  # noqa: ARG002
        return list(parts)
