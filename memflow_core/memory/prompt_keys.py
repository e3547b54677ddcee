"""Mean text keys and pooled embedding of a prompt, which retrieval scores are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model import TextKV


@dataclass(frozen=True)
class PromptKeys:
    """Means of a prompt's cross-attention keys, and of its embedding.

    number   counts the prompts of a stream.
    mean_k   [layers, B, heads, head_dim] float32: mean cross-attention key, padding included (as published).
    own_k    the same over the prompt's own tokens.
    pooled   [B, text_dim] float32, unit length: mean embedding of the prompt's own tokens.
    text     [B, length, text_dim]: the embedding itself.
    """

    number: int
    mean_k: Tensor
    own_k: Tensor
    pooled: Tensor
    text: Tensor

    @staticmethod
    def of(number: int, text: Tensor, keys: list[TextKV]) -> PromptKeys:
        """Means of one prompt.

        text  [B, length, text_dim], padded with rows of zeros.
        keys  cross-attention keys and values per layer, as from `Backbone.embed_text`.
        """
        own = text.abs().amax(dim=-1) > 0  # [B, length]
        # a prompt of nothing but zeros has no own tokens: then all of them count
        own = (own | ~own.any(dim=-1, keepdim=True)).float()
        weight = own / own.sum(dim=-1, keepdim=True)
        mean_k = torch.stack([layer.k.mean(dim=2, dtype=torch.float32) for layer in keys])
        own_k = torch.stack([torch.einsum("bl,bhld->bhd", weight, layer.k.float()) for layer in keys])
        pooled = torch.einsum("bl,blc->bc", weight, text.float())
        return PromptKeys(number, mean_k, own_k, F.normalize(pooled, dim=-1), text)
