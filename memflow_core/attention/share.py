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
        self._seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, layer: int, q: Tensor, keys: Tensor, kinds: Tensor) -> None:  # noqa: ARG002
        """Measure one layer.

        q      [B, heads, L, head_dim], rotated.
        keys   [B, heads, frames * tokens, head_dim], rotated.
        kinds  [frames] or [B, heads, frames] int64: SINK, BANK, WINDOW, or where it has heads, UNREAD where SMA leaves
               a frame out.
        """
        # scaled while they are few, and made float32 inside the softmax: of so many keys each pass counts
        sampled = q[:, :, :: max(1, q.shape[2] // self.queries)] * q.shape[-1] ** -0.5
        logits = sampled @ keys.mT
        by_frame = logits.unflatten(-1, (kinds.shape[-1], -1))
        if kinds.ndim > 1:
            by_frame.masked_fill_((kinds == UNREAD)[:, :, None, :, None], -torch.inf)
        shares = logits.softmax(dim=-1, dtype=torch.float32)
        mass = shares.view_as(by_frame).sum(dim=-1).mean(dim=2)  # [B, heads, frames]
        self._seen.append((mass, kinds))

    def take(self) -> Tensor | None:
        """Mean shares of sink, bank and window over the layers since the last call, [2, 3] float32; None without any.

        The first row is measured, the second what they would be if every frame that is read got the same.
        """
        seen, self._seen = self._seen, []
        if not seen:
            return None
        # layers that read no bank have fewer frames
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for mass, kinds in seen:
            alike.setdefault(mass.shape, []).append((mass, kinds.expand_as(mass)))
        sums = [_shares_by_kind(*map(torch.stack, zip(*layers, strict=True))) for layers in alike.values()]
        return torch.stack(sums).sum(dim=0) / len(seen)


def _shares_by_kind(mass: Tensor, kinds: Tensor) -> Tensor:
    """Sum of the shares of some layers, [2, 3] as `take` gives: mass and kinds [layers, B, heads, frames]."""
    even = (kinds != UNREAD).to(mass.dtype)
    both = torch.stack((mass, even / even.sum(dim=-1, keepdim=True)))
    of_kind = both.new_zeros(*both.shape[:4], len(KINDS))
    of_kind.scatter_add_(-1, kinds.clamp(min=0).expand_as(both), both)
    return of_kind.mean(dim=(2, 3)).sum(dim=1)
