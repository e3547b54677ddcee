"""One transformer block of the Wan layout around its self-attention, as plain functions.

They take all that they use as arguments, so that one compiled form serves every block, and every stream after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .functional import Modulation, feed_forward, modulated_norm, rms_norm

AttentionBackend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""softmax(q k^T / sqrt(head_dim)) v over [B, heads, L, head_dim]."""


@dataclass(frozen=True)
class TextKV:
    """Cross-attention keys and values of one layer, [B, heads, text length, head_dim]."""

    k: Tensor
    v: Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, L, dim] -> [B, heads, L, head_dim]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, heads, L, head_dim] -> [B, L, dim]."""
    return x.transpose(1, 2).flatten(2)


def pre_attention(block: nn.Module, x: Tensor, by: Modulation) -> tuple[Tensor, Tensor, Tensor]:
    """What self-attention asks: x [B, F, tokens, dim] -> q, k, v [B, heads, L, head_dim], before RoPE."""
    flat, attn = modulated_norm(block.norm1, x, by).flatten(1, 2), block.self_attn
    q = split_heads(rms_norm(attn.norm_q, attn.q(flat)), attn.num_heads)
    return q, *_keys_values(attn, flat)


def project_kv(block: nn.Module, x: Tensor, by: Modulation) -> tuple[Tensor, Tensor]:
    """The keys and values alone."""
    return _keys_values(block.self_attn, modulated_norm(block.norm1, x, by).flatten(1, 2))


def post_attention(
    block: nn.Module,
    x: Tensor,
    read: Tensor,
    modulation: tuple[Modulation, Modulation],
    text: TextKV,
    backend: AttentionBackend,
) -> Tensor:
    """The rest of the block, from what self-attention read, [B, heads, L, head_dim]: -> as x, which is overwritten."""
    attention, ffn = modulation
    x = _add(x, block.self_attn.o(merge_heads(read)).view_as(x), attention.gate)
    x = _add(x, _cross_attention(block.cross_attn, block.norm3(x), text, backend))
    return _add(x, feed_forward(block.ffn, modulated_norm(block.norm2, x, ffn)), ffn.gate)


def _add(x: Tensor, y: Tensor, gate: Tensor | None = None) -> Tensor:
    """x + y gate: in x itself, unless gradients need it as it was."""
    if torch.is_grad_enabled():
        return x + y if gate is None else torch.addcmul(x, y, gate)
    return x.add_(y) if gate is None else x.addcmul_(y, gate)


def text_keys(attn: nn.Module, text: Tensor) -> TextKV:
    """Of a prompt as the model embeds it, [B, length, dim]; padding takes part."""
    return TextKV(*_keys_values(attn, text))


def _keys_values(attn: nn.Module, flat: Tensor) -> tuple[Tensor, Tensor]:
    k = split_heads(rms_norm(attn.norm_k, attn.k(flat)), attn.num_heads)
    return k, split_heads(attn.v(flat), attn.num_heads)


def _cross_attention(attn: nn.Module, x: Tensor, text: TextKV, backend: AttentionBackend) -> Tensor:
    """x [B, F, tokens, dim] asks the text of its batch item, or of its frame where `text` has B F rows."""
    asking = x.reshape(len(text.k), -1, x.shape[-1])
    q = split_heads(rms_norm(attn.norm_q, attn.q(asking)), attn.num_heads)
    return attn.o(merge_heads(backend(q, text.k, text.v))).view_as(x)
