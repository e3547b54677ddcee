"""Self-attention of latent frames that see themselves alone, several of them in one pass."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..memory import KVCache
from ..model import AttentionBackend
from .memory_attention import MemoryAttention


class AloneAttention:
    """An `Attend` of a pass over latent frames, none of which sees another; their keys go into slots of their own.

    own      attention of the stream that the frames are of: each stands at its position there.
    cache    has a slot for each frame, in their order, and no others.
    frames   numbers of the latent frames.
    backend  attends.
    """

    def __init__(self, own: MemoryAttention, cache: KVCache, frames: Sequence[int], *, backend: AttentionBackend):
        self.cache = cache
        self._backend = backend
        self._relative = own.relative
        # keys that are rotated as they are read stand first in what they see
        positions = [0 if own.relative else own.position(frame) for frame in frames]
        self._turned = own.rotation_of(positions).apply
        self._frames = len(frames)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend in one layer: q, k, v [B, heads, frames * tokens, head_dim] before RoPE -> alike."""
        self.store(layer, k, v)
        if not q.numel():
            # a process that shares the stream may have no heads of its own
            return q
        read = self.cache.read(layer, slice(0, self._frames))
        keys = self._turned(read.k) if self._relative else read.k
        attended = self._backend(*(_by_frame(x) for x in (self._turned(self._of_frames(q)), keys, read.v)))
        return attended.unflatten(0, (len(q), self._frames)).transpose(1, 2).flatten(2, 3)

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Write keys and values [B, heads, frames * tokens, head_dim] into their slots."""
        turned = k if self._relative else self._turned(self._of_frames(k)).flatten(2, 3)
        self.cache.write(layer, [(0, 0, self._frames)], turned, v)

    def _of_frames(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self._frames, self.cache.tokens))


def _by_frame(x: Tensor) -> Tensor:
    """[B, heads, frames, tokens, head_dim] -> [B * frames, heads, tokens, head_dim]."""
    return x.transpose(1, 2).flatten(0, 1)
