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

from .block import AttentionBackend, TextKV, post_attention, pre_attention, project_kv, text_keys
from .functional import Modulation, modulated_norm, widest

Compiler = Callable[[Callable], Callable]
"""For example `functools.partial(torch.compile, dynamic=False)`."""


class Attend(Protocol):
    """Self-attention of one layer, memory included: q, k, v [B, heads, L, head_dim] -> [B, heads, L, head_dim]."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor: ...

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Leave keys and values in memory, where nobody asks for what they say."""


@dataclass(frozen=True)
class TimestepModulation:
    """What a timestep says to every layer: (self-attention, feed-forward) of each block, and the head."""

    blocks: list[tuple[Modulation, Modulation]]
    head: Modulation


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
    compiler   compiles what stands around self-attention, for the size of the first pass; passes of another size, as a
               recache is one, run as they are, so that a prompt switch compiles nothing. None: nothing is compiled.
    """

    def __init__(
        self,
        tree: nn.Module,
        dtype: torch.dtype = torch.float32,
        attention: AttentionBackend = sdpa,
        reader: str = "gather",
        compiler: Compiler | None = None,
    ):
        self.tree, self.dtype, self.attention, self.reader = tree, dtype, attention, reader
        self.layers = len(tree.blocks)
        self.heads = tree.blocks[0].self_attn.num_heads
        self.dim = tree.blocks[0].modulation.shape[-1]
        self.head_dim = self.dim // self.heads
        self.channels = tree.patch_embedding.weight.shape[1]
        self.text_dim = tree.text_embedding[0].in_features
        self._freq_dim = tree.time_embedding[0].in_features
        self._modulations: dict[float, TimestepModulation] = {}
        self._compiled = None if compiler is None else (compiler(pre_attention), compiler(post_attention))
        self._compiled_size: torch.Size | None = None

    def embed_text(self, text: Tensor) -> list[TextKV]:
        """Cross-attention keys and values of a prompt, per layer. text [B, length, text_dim]; padding takes part."""
        context = self.tree.text_embedding(text.to(self.dtype))
        return [text_keys(block.cross_attn, context) for block in self.tree.blocks]

    def __call__(self, x: Tensor, timesteps: Tensor | float, text: list[TextKV], attend: Attend) -> Tensor:
        """Predict the flow of latent frames x [B, C, F, h, w]: -> as x.

        timesteps  0 to 1000: [F], or one for all of them, whose embedding is kept.
        """
        modulation = self._modulation(timesteps, x.device)
        tokens = self._blocks(self._embed_patches(x), self.layers, modulation, text, attend)
        return self._head(tokens, modulation.head, x.shape[-2] // 2, x.shape[-1] // 2).to(x.dtype)

    def write(self, x: Tensor, timesteps: Tensor | float, text: list[TextKV], attend: Attend) -> None:
        """The same pass for the keys and values alone that it leaves in memory: the last layer ends with its own."""
        modulation, last = self._modulation(timesteps, x.device), self.layers - 1
        tokens = self._blocks(self._embed_patches(x), last, modulation, text, attend)
        attend.store(last, *project_kv(self.tree.blocks[last], tokens, modulation.blocks[last][0]))

    def _blocks(
        self, x: Tensor, count: int, modulation: TimestepModulation, text: list[TextKV], attend: Attend
    ) -> Tensor:
        """The first `count` blocks over tokens [B, F, tokens, dim]."""
        before, after = self._compiled if self._is_compiled_for(x) else (pre_attention, post_attention)
        for layer, block in zip(range(count), self.tree.blocks, strict=False):
            read = attend(layer, *before(block, x, modulation.blocks[layer][0]))
            x = after(block, x, read, modulation.blocks[layer], text[layer], self.attention)
        return x

    def _is_compiled_for(self, x: Tensor) -> bool:
        if self._compiled is None:
            return False
        self._compiled_size = self._compiled_size or x.shape
        return x.shape == self._compiled_size

    def _modulation(self, timesteps: Tensor | float, device: torch.device) -> TimestepModulation:
        """For timesteps [F], or for one of all frames, which is reckoned once."""
        if isinstance(timesteps, Tensor):
            return self._modulation_at(timesteps)
        if timesteps not in self._modulations:
            self._modulations[timesteps] = self._modulation_at(torch.full((1,), timesteps, device=device))
        return self._modulations[timesteps]

    def _modulation_at(self, timesteps: Tensor) -> TimestepModulation:
        time = self.tree.time_embedding(sinusoid(timesteps, self._freq_dim).to(self.dtype))  # [rows, dim]
        shifts = self.tree.time_projection(time).unflatten(-1, (6, self.dim))  # [rows, 6, dim]
        blocks = []
        for block in self.tree.blocks:
            shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self._modulate(block.modulation, shifts)
            blocks.append((Modulation(shift_a, 1 + scale_a, gate_a), Modulation(shift_f, 1 + scale_f, gate_f)))
        shift, scale = self._modulate(self.tree.head.modulation, time[:, None])
        return TimestepModulation(blocks, Modulation(shift, 1 + scale))

    def _embed_patches(self, x: Tensor) -> Tensor:
        """[B, C, F, h, w] -> [B, F, tokens, dim]."""
        conv = self.tree.patch_embedding
        # ComfyUI keeps this convolution in float32 whatever the rest is in
        dtype = torch.float32 if conv.weight.dtype == torch.float32 else self.dtype
        patches = rearrange(conv(x.to(dtype)), "b d f h w -> b f (h w) d").to(self.dtype)
        # laid out by token: every step of every block keeps the layout that it finds
        return patches.contiguous()

    def _head(self, x: Tensor, modulation: Modulation, rows: int, columns: int) -> Tensor:
        head = self.tree.head
        x = head.head(modulated_norm(head.norm, x, modulation))
        return rearrange(x, "b f (h w) (p q c) -> b c f (h p) (w q)", h=rows, w=columns, p=2, q=2)

    def _modulate(self, table: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        """table [1, n, dim] + time [rows, n or 1, dim] -> n of [rows, 1, dim]."""
        # a bare parameter: the one kind of weight that no module casts or moves for us
        table = table.to(device=time.device, dtype=time.dtype)
        return (table + time).unsqueeze(2).unbind(1)
