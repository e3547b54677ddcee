"""Question to the coming chunk: what do its queries look at, of everything that is archived?

It is asked in a pass of its own, right before the chunk's first one and like it. A frame of the archive is met by its
mean key, as in Narrative Adaptive Memory (section 3.2 of arXiv 2512.14699), so that asking costs next to nothing beside
the pass, however much is archived.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from . import recall
from .cache import KVCache
from .nam_scores import MASS_QUERIES


class Question:
    """Adds up attention mass over archived frames, layer by layer; a `LayerHook`.

    frames  latent frames, oldest first.
    """

    def __init__(self, cache: KVCache, frames: Sequence[int], mean_keys: Sequence[Tensor], layers: Collection[int]):
        """mean_keys: of each frame, [layers, B, all heads, head_dim]. layers: those that count, which read the bank."""
        self.frames = tuple(frames)
        self._cache = cache
        self._keys = torch.stack([keys[:, :, cache.share.own] for keys in mean_keys], dim=1)
        self._layers = layers
        self._mass = torch.zeros(cache.batch, len(self.frames), device=cache.device)

    def __call__(self, layer: int, q: Tensor) -> None:
        """Take note of a layer's queries [B, heads, L, head_dim], of which MASS_QUERIES are enough."""
        if layer in self._layers:
            some = q[:, :, :: -(-q.shape[2] // MASS_QUERIES)]
            self._mass += recall.attention(some, self._keys[layer].to(self._cache.device))

    def shares(self) -> list[dict[int, float]]:
        """Each frame's share of the attention of each batch item, averaged over heads and layers."""
        share = self._cache.share
        mass = share.sum(self._mass) / (share.total * len(self._layers))
        return [dict(zip(self.frames, row, strict=True)) for row in mass.tolist()]
