"""The forward over one chunk, written against the attribute names of the Wan checkpoint.

It calls the submodules of any Wan-layout module tree (`patch_embedding`, `blocks[i].self_attn.q`, `head.head` ...):
our own `WanModel`, or ComfyUI's, with whatever casting, offloading, quantisation and LoRA stands behind them.
What self-attention sees beyond the chunk is not its business: it hands q, k, v to an `Attend`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .precision import widest

AttentionBackend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""softmax(q k^T / sqrt(head_dim)) v over [B, heads, L, head_dim]."""


class Attend(Protocol):
    """Self-attention of one layer, memory included: q, k, v [B, heads, L, head_dim] -> [B, heads, L, head_dim]."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class TextKV:
    """Cross-attention keys and values of one layer, [B, heads, text length, head_dim]."""

    k: Tensor
    v: Tensor


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The default attention backend: torch's own choice."""
    return F.scaled_dot_product_attention(q, k, v)


def sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding [F, width], cosines first, of timesteps [F]; angles in float64."""
    half = width // 2
    wide = widest(timesteps.device)
    exponent = torch.arange(half, dtype=wide, device=timesteps.device) / half
    angle = timesteps.to(wide)[:, None] * 10000.0**-exponent
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


class Backbone:
    """One chunk through a Wan-layout module tree.

    tree       the module tree; its parameters stay where their owner keeps them.
    dtype      what activations are computed in.
    attention  the attention backend for self- and cross-attention.
    reader     how a stream reads the frames that SMA chose, one of `backends.READERS`.
    """

    def __init__(
        self,
        tree: nn.Module,
        dtype: torch.dtype = torch.float32,
        attention: AttentionBackend = sdpa,
        reader: str = "gather",
    ):
        self.tree, self.dtype, self.attention, self.reader = tree, dtype, attention, reader
        self.layers = len(tree.blocks)
        self.heads = tree.blocks[0].self_attn.num_heads
        self.dim = tree.blocks[0].modulation.shape[-1]
        self.head_dim = self.dim // self.heads
        self.channels = tree.patch_embedding.weight.shape[1]
        self.text_dim = tree.text_embedding[0].in_features
        self._freq_dim = tree.time_embedding[0].in_features

    def embed_text(self, text: Tensor) -> list[TextKV]:
        """Cross-attention keys and values of a prompt, per layer. text [B, length, text_dim]; padding takes part."""
        context = self.tree.text_embedding(text.to(self.dtype))
        return [
            TextKV(
                self._split(block.cross_attn.norm_k(block.cross_attn.k(context))),
                self._split(block.cross_attn.v(context)),
            )
            for block in self.tree.blocks
        ]

    def __call__(self, x: Tensor, timesteps: Tensor, text: list[TextKV], attend: Attend) -> Tensor:
        """Predict the flow of latent frames x [B, C, F, h, w] at timesteps [F], 0 to 1000: -> as x."""
        rows, columns = x.shape[-2] // 2, x.shape[-1] // 2
        tokens = self._embed_patches(x)
        time = self.tree.time_embedding(sinusoid(timesteps, self._freq_dim).to(self.dtype))  # [F, dim]
        shifts = self.tree.time_projection(time).unflatten(-1, (6, self.dim))  # [F, 6, dim]
        for layer, block in enumerate(self.tree.blocks):
            tokens = self._block(layer, block, tokens, shifts, text[layer], attend)
        return self._head(tokens, time, rows, columns).to(x.dtype)

    def _embed_patches(self, x: Tensor) -> Tensor:
        """[B, C, F, h, w] -> [B, F, tokens, dim]."""
        conv = self.tree.patch_embedding
        # ComfyUI keeps this convolution in float32 whatever the rest is in
        dtype = torch.float32 if conv.weight.dtype == torch.float32 else self.dtype
        return rearrange(conv(x.to(dtype)), "b d f h w -> b f (h w) d").to(self.dtype)

    def _block(self, layer: int, block: nn.Module, x: Tensor, shifts: Tensor, text: TextKV, attend: Attend) -> Tensor:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self._modulate(block.modulation, shifts)
        y = self._self_attention(layer, block.self_attn, torch.addcmul(shift_a, block.norm1(x), 1 + scale_a), attend)
        x = torch.addcmul(x, y, gate_a)
        x = x + self._cross_attention(block.cross_attn, block.norm3(x), text)
        return torch.addcmul(x, block.ffn(torch.addcmul(shift_f, block.norm2(x), 1 + scale_f)), gate_f)

    def _self_attention(self, layer: int, attn: nn.Module, x: Tensor, attend: Attend) -> Tensor:
        flat = x.flatten(1, 2)
        q, k = self._split(attn.norm_q(attn.q(flat))), self._split(attn.norm_k(attn.k(flat)))
        out = attend(layer, q, k, self._split(attn.v(flat)))
        return attn.o(self._merge(out)).view_as(x)

    def _cross_attention(self, attn: nn.Module, x: Tensor, text: TextKV) -> Tensor:
        q = self._split(attn.norm_q(attn.q(x.flatten(1, 2))))
        return attn.o(self._merge(self.attention(q, text.k, text.v))).view_as(x)

    def _head(self, x: Tensor, time: Tensor, rows: int, columns: int) -> Tensor:
        head = self.tree.head
        shift, scale = self._modulate(head.modulation, time[:, None])
        x = head.head(torch.addcmul(shift, head.norm(x), 1 + scale))
        return rearrange(x, "b f (h w) (p q c) -> b c f (h p) (w q)", h=rows, w=columns, p=2, q=2)

    def _modulate(self, table: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        """table [1, n, dim] + time [F, n or 1, dim] -> n of [F, 1, dim]."""
        # a bare parameter: the one kind of weight that no module casts or moves for us
        table = table.to(device=time.device, dtype=time.dtype)
        return (table + time).unsqueeze(2).unbind(1)

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "b l (n d) -> b n l d", n=self.heads)

    def _merge(self, x: Tensor) -> Tensor:
        return rearrange(x, "b n l d -> b l (n d)")
