"""Attention on the bank, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from memflow_core.attention import AttentionShareMeter
from memflow_core.memory import KINDS


@dataclass
class LayerMeter:
    """Share of attention on the bank in every layer, of a chunk's first step; as `Stream.meter`.

    shares  [layers, B] for each chunk that was measured; [0] for one whose latents were given.
    """

    shares: list[Tensor] = field(default_factory=list)
    _layers: list[Tensor] = field(default_factory=list)

    def __call__(self, layer: int, q: Tensor, keys: Tensor, kinds: Tensor) -> None:
        """Measure one layer; arguments as those of `AttentionShareMeter`."""
        of_items = []
        for item in range(q.shape[0]):
            one = AttentionShareMeter()
            at = slice(item, item + 1)
            one(layer, q[at], keys[at], kinds if kinds.ndim == 1 else kinds[at])
            taken = one.take()
            assert taken is not None, "just measured"
            of_items.append(taken[0, KINDS.index("bank")])
        self._layers.append(torch.stack(of_items))

    def take(self) -> None:
        """End a chunk. Nothing goes into the trace."""
        self.shares.append(torch.stack(self._layers) if self._layers else torch.zeros(0))
        self._layers = []
