"""One Wan transformer block as plain functions, cut in two at its self-attention.

    x = x + gate_a * o(attend(q, k, v))               q, k, v of norm1(x) * scale_a + shift_a
    x = x + cross_attn(norm3(x), text)
    x = x + gate_f * ffn(norm2(x) * scale_f + shift_f)

`pre_attention` makes q, k, v; `post_attention` takes what attention returned. Shift, scale and gate are the timestep's
(`Modulation`). The functions take all that they use as arguments, so that one compiled form serves every block of every
stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def split_heads(x: Tensor, heads: int, batch: int) -> Tensor:
    """[..., dim], all rows of `batch` items -> [batch, heads, L, head_dim]."""
    return x.reshape(batch, -1, heads, x.shape[-1] // heads).transpose(1, 2)


def merge_heads(x: Tensor, shape: Sequence[int]) -> Tensor:
    """[batch, heads, L, head_dim] -> `shape`, [..., dim]."""
    return x.transpose(1, 2).reshape(shape)


def pre_attention(block: WanBlock, x: Tensor, modulation: Modulation) -> tuple[Tensor, Tensor, Tensor]:
    """Self-attention's q, k, v [B, heads, L, head_dim] of x [B, F, tokens, dim], before RoPE; L = F * tokens."""
    attn = block.self_attn
    normed = modulated_norm(block.norm1, _rows(x, modulation), modulation)
    q = _project_normed(attn.q, attn.norm_q, normed, attn.num_heads, x.shape[0])
    k, v = _keys_values(attn, normed, x.shape[0])
    return q, k, v


def project_kv(block: WanBlock, x: Tensor, modulation: Modulation) -> tuple[Tensor, Tensor]:
    """Keys and values of `pre_attention` without its queries: x [B, F, tokens, dim] -> two [B, heads, L, head_dim]."""
    return _keys_values(block.self_attn, modulated_norm(block.norm1, _rows(x, modulation), modulation), x.shape[0])


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
    rows = _rows(x, attention)
    rows = _add(rows, block.self_attn.o(merge_heads(attended, rows.shape)), attention.gate)
    rows = _add(rows, _cross_attention(block.cross_attn, block.norm3(rows), text, backend))
    rows = _add(rows, feed_forward(block.ffn, modulated_norm(block.norm2, rows, ffn), x.shape[0]), ffn.gate)
    return rows.view_as(x)


def project_text_kv(attn: WanAttention, text: Tensor) -> TextKV:
    """Cross-attention keys and values of an embedded prompt [B, length, dim]; rows of padding are kept."""
    k, v = _keys_values(attn, text, len(text))
    return TextKV(k, v)


def _rows(x: Tensor, modulation: Modulation) -> Tensor:
    """x [B, F, tokens, dim] as [B * F * tokens, dim]; as it is where each frame has a modulation of its own."""
    # torch takes any other shape to this one and back at each product
    return x.flatten(0, 2) if modulation.shared else x


def _add(x: Tensor, y: Tensor, gate: Tensor | None = None) -> Tensor:
    """x + y * gate: in x itself, unless gradients need it as it was."""
    if torch.is_grad_enabled():
        return x + y if gate is None else torch.addcmul(x, y, gate)
    return x.add_(y) if gate is None else x.addcmul_(y, gate)


def _keys_values(attn: WanAttention, x: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """x [..., dim] -> k, v [batch, heads, L, head_dim]."""
    k = _project_normed(attn.k, attn.norm_k, x, attn.num_heads, batch)
    return k, split_heads(attn.v(x), attn.num_heads, batch)


def _project_normed(projection: Layer, norm: Layer, x: Tensor, heads: int, batch: int) -> Tensor:
    """Queries or keys: x [..., dim] -> [batch, heads, L, head_dim], normed over dim before the split into heads."""
    return split_heads(rms_norm(norm, projection(x)), heads, batch)


def _cross_attention(attn: WanAttention, x: Tensor, text: TextKV, backend: AttentionBackend) -> Tensor:
    """Attend from x [..., dim] to the text of its batch item, or of its frame where `text` has B * F rows -> as x."""
    if text.own is not None:
        return text.own.attend(x.reshape(len(text.k), -1, x.shape[-1]), text.own.text).view_as(x)
    q = _project_normed(attn.q, attn.norm_q, x, attn.num_heads, text.k.shape[0])
    return attn.o(merge_heads(backend(q, text.k, text.v), x.shape))
