"""Attention share of sink, bank and window, sampled beside the real attention.

Only every so many of a chunk's queries are measured, in every layer and head: a few dozen out of thousands give the
shares to within a few percent, and cost well under a hundredth of the pass they are measured in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..memory import KINDS

SAMPLED_QUERIES = 32
SINK, BANK, WINDOW = (KINDS.index(kind) for kind in ("sink", "bank", "window"))
UNREAD = -1


class AttentionShareMeter:
    """An `AttentionObserver` that adds up attention mass by kind of memory, on the device.

    queries  how many of the chunk's queries are measured in each layer, evenly spread over the chunk.
    """

    def __init__(self, queries: int = SAMPLED_QUERIES):
        self.queries = queries
        self._sum: Tensor | None = None
        self._layers = 0

    def __call__(self, layer: int, q: Tensor, keys: Tensor, kinds: Tensor) -> None:  # noqa: ARG002
        """Measure one layer.

        q      [B, heads, L, head_dim], rotated.
        keys   [B, heads, frames, tokens, head_dim], rotated.
        kinds  [frames] or [B, heads, frames] int64: SINK, BANK, WINDOW, or UNREAD where SMA leaves one out.
        """
        kinds = kinds.expand(*q.shape[:2], keys.shape[2])
        sampled = q[:, :, :: max(1, q.shape[2] // self.queries)]
        logits = torch.einsum("bhqd,bhntd->bhqnt", sampled, keys).float() / q.shape[-1] ** 0.5
        unread = kinds == UNREAD
        logits = logits.masked_fill(unread[:, :, None, :, None], -torch.inf)
        mass = logits.flatten(3).softmax(dim=-1).view_as(logits).sum(dim=-1).mean(dim=2)  # [B, heads, frames]
        even = (~unread).to(mass.dtype)
        both = torch.stack((mass, even / even.sum(dim=-1, keepdim=True)))
        of_kind = both.new_zeros(*both.shape[:3], len(KINDS))
        of_kind.scatter_add_(-1, kinds.clamp(min=0).expand_as(both), both)
        mean = of_kind.mean(dim=(1, 2))
        self._sum = mean if self._sum is None else self._sum + mean
        self._layers += 1

    def take(self) -> Tensor | None:
        """Mean shares of sink, bank and window over the layers since the last call, [2, 3] float32; None without any.

        The first row is measured, the second what they would be if every frame that is read got the same.
        """
        total, layers = self._sum, self._layers
        self._sum, self._layers = None, 0
        return None if total is None else total / layers
