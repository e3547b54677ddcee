"""One Wan transformer block as plain functions, cut in two at its self-attention.

    x = x + gate_a * o(attend(q, k, v))               q, k, v of norm1(x) * scale_a + shift_a
    x = x + cross_attn(norm3(x), text)
    x = x + gate_f * ffn(norm2(x) * scale_f + shift_f)

`pre_attention` makes q, k, v; `post_attention` takes what attention returned. Shift, scale and gate are the timestep's
(`Modulation`). The functions take all that they use as arguments, so that one compiled form serves every block of every
stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .functional import Modulation, feed_forward, modulated_norm, rms_norm
from .tree import Layer, WanAttention, WanBlock

AttentionBackend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""softmax(q k^T / sqrt(head_dim)) v over [B, heads, L, head_dim]."""


CrossAttention = Callable[[Tensor, Tensor], Tensor]
"""A whole cross-attention, projections included: tokens [B, L, dim], embedded text [B, length, dim] -> as tokens."""


@dataclass(frozen=True)
class OwnCrossAttention:
    """A cross-attention in the place of a block's own, and the embedded prompt [B, length, dim] that it reads."""

    attend: CrossAttention
    text: Tensor


@dataclass(frozen=True)
class TextKV:
    """Cross-attention keys and values of one layer, [B, heads, text length, head_dim].

    own  what the layer runs in the place of attention over these keys, which retrieval still scores by; None: nothing.
    """

    k: Tensor
    v: Tensor
    own: OwnCrossAttention | None = None


class PassListener(Protocol):
    """Told where a forward stands, before it goes on: for attention that asks."""

    def on_pass(self, timestep: float, grid: tuple[int, int, int]) -> None:
        """A pass begins, at a timestep from 0 to 1000, over patches of (latent frames, rows, columns)."""

    def on_block(self, layer: int) -> None:
        """A block begins."""


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, L, dim] -> [B, heads, L, head_dim]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, heads, L, head_dim] -> [B, L, dim]."""
    return x.transpose(1, 2).flatten(2)


def pre_attention(block: WanBlock, x: Tensor, modulation: Modulation) -> tuple[Tensor, Tensor, Tensor]:
    """Self-attention's q, k, v [B, heads, L, head_dim] of x [B, F, tokens, dim], before RoPE; L = F * tokens."""
    attn = block.self_attn
    flat = modulated_norm(block.norm1, x, modulation).flatten(1, 2)
    q = _project_normed(attn.q, attn.norm_q, flat, attn.num_heads)
    k, v = _keys_values(attn, flat)
    return q, k, v


def project_kv(block: WanBlock, x: Tensor, modulation: Modulation) -> tuple[Tensor, Tensor]:
    """Keys and values of `pre_attention` without its queries: x [B, F, tokens, dim] -> two [B, heads, L, head_dim]."""
    return _keys_values(block.self_attn, modulated_norm(block.norm1, x, modulation).flatten(1, 2))


def post_attention(
    block: WanBlock,
    x: Tensor,
    attended: Tensor,
    modulation: tuple[Modulation, Modulation],
    text: TextKV,
    backend: AttentionBackend,
) -> Tensor:
    """The block from the output of its self-attention on.

    x           [B, F, tokens, dim], the block's input; overwritten where no gradients are recorded.
    attended    [B, heads, L, head_dim].
    modulation  of self-attention and of the feed-forward.

    Returns the block's output, as x.
    """
    attention, ffn = modulation
    x = _add(x, block.self_attn.o(merge_heads(attended)).view_as(x), attention.gate)
    x = _add(x, _cross_attention(block.cross_attn, block.norm3(x), text, backend))
    return _add(x, feed_forward(block.ffn, modulated_norm(block.norm2, x, ffn).flatten(1, 2)).view_as(x), ffn.gate)


def project_text_kv(attn: WanAttention, text: Tensor) -> TextKV:
    """Cross-attention keys and values of an embedded prompt [B, length, dim]; rows of padding are kept."""
    k, v = _keys_values(attn, text)
    return TextKV(k, v)


def _add(x: Tensor, y: Tensor, gate: Tensor | None = None) -> Tensor:
    """x + y * gate: in x itself, unless gradients need it as it was."""
    if torch.is_grad_enabled():
        return x + y if gate is None else torch.addcmul(x, y, gate)
    return x.add_(y) if gate is None else x.addcmul_(y, gate)


def _keys_values(attn: WanAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """x [B, L, dim] -> k, v [B, heads, L, head_dim]."""
    k = _project_normed(attn.k, attn.norm_k, x, attn.num_heads)
    return k, split_heads(attn.v(x), attn.num_heads)


def _project_normed(projection: Layer, norm: Layer, x: Tensor, heads: int) -> Tensor:
    """Queries or keys: x [B, L, dim] -> [B, heads, L, head_dim], normed over dim before the split into heads."""
    return split_heads(rms_norm(norm, projection(x)), heads)


def _cross_attention(attn: WanAttention, x: Tensor, text: TextKV, backend: AttentionBackend) -> Tensor:
    """Attend from x [B, F, tokens, dim] to the text of its batch item, or of its frame where `text` has B * F rows."""
    flat = x.reshape(len(text.k), -1, x.shape[-1])
    if text.own is not None:
        return text.own.attend(flat, text.own.text).view_as(x)
    q = _project_normed(attn.q, attn.norm_q, flat, attn.num_heads)
    return attn.o(merge_heads(backend(q, text.k, text.v))).view_as(x)
