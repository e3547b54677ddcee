"""One latent frame's keys and values outside the cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model import fp8


@dataclass
class FrameKV:
    """One latent frame's keys and values in all layers, waiting outside the attended slots.

    k, v [layers, B, heads, tokens, head_dim]; mean_k [layers, B, heads, head_dim]; scale_k, scale_v [layers, B, heads]
    where the cache keeps fp8. All as in the cache, bit for bit.
    """

    k: Tensor
    v: Tensor
    mean_k: Tensor
    scale_k: Tensor | None = None
    scale_v: Tensor | None = None

    @property
    def parts(self) -> dict[str, Tensor]:
        """By the names that they have in the cache."""
        return {name: part for name, part in vars(self).items() if part is not None}

    def copy(self, device: torch.device) -> FrameKV:
        return FrameKV(**{name: part.to(device, copy=True) for name, part in self.parts.items()})

    def keys(self, layer: int, dtype: torch.dtype) -> Tensor:
        """Of one layer, [B, heads, tokens, head_dim]."""
        k = self.k[layer]
        return k if self.scale_k is None else fp8.decode(k, self.scale_k[layer], dtype)


@dataclass(frozen=True)
class Candidate:
    """A frame on its way to the bank, made under prompt number `prompt`. `prototype` is None while the frame is
    safe in the sink, whose slots are not overwritten."""

    frame: int
    prompt: int
    prototype: FrameKV | None
