"""One forward of a chunk through a Wan-layout module tree.

    latents [B, C, F, h, w] -> patch tokens [B, F, h/2 * w/2, dim] -> blocks -> head -> flow [B, C, F, h, w]

The forward calls the submodules that `WanTree` names. What self-attention reads beyond the chunk (the KV cache) belongs
to the `Attend` that is passed in: the forward hands it q, k and v.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .block import (
    AttentionBackend,
    CrossAttention,
    OwnCrossAttention,
    PassListener,
    TextKV,
    post_attention,
    pre_attention,
    project_kv,
    project_text_kv,
)
from .control import ControlBranch, ControlInput, ControlPass, ControlTree, embed_patches
from .functional import Modulation, modulated_norm, widest
from .heads import AllHeads, HeadShare
from .tree import WanBlock, WanTree

Compiler = Callable[[Callable], Callable]
"""For example `functools.partial(torch.compile, dynamic=False)`."""


class Attend(Protocol):
    """Self-attention of one layer, memory included.

    q, k, v [B, heads, L, head_dim], L = F * tokens, before RoPE -> [B, heads, L, head_dim].
    """

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor: ...

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Write keys and values, each [B, heads, L, head_dim], to memory without attending."""


class WeightSets(Protocol):
    """Weights that a tree can be given in turn, by name. "" is the tree's own; an unknown name stands for it too."""

    def select(self, name: str) -> None:
        """Put the weights of that name into the tree."""


@dataclass(frozen=True)
class TimestepModulation:
    """Modulation of every layer at one timestep.

    blocks   (self-attention, feed-forward) of each block.
    head     of the output head, without a gate.
    control  as `blocks`, of each control block; none where there are none.
    """

    blocks: list[tuple[Modulation, Modulation]]
    head: Modulation
    control: list[tuple[Modulation, Modulation]]


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with torch's scaled_dot_product_attention: q, k, v [B, heads, L, head_dim] -> as q."""
    return F.scaled_dot_product_attention(q, k, v)


def sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """Embed timesteps [n] as sinusoids [n, width] in `widest`'s dtype: width / 2 cosines, then the sines.

    Wan's convention: angle i is t * 10000^(-i / (width / 2)).
    """
    half = width // 2
    wide = widest(timesteps.device)
    exponent = torch.arange(half, dtype=wide, device=timesteps.device) / half
    angle = timesteps.to(wide)[:, None] * 10000.0**-exponent
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


class Backbone:
    """A Wan-layout module tree that predicts the flow of a chunk.

    tree       a `WanTree`, for example a `WanModel`; its parameters stay where their owner keeps them.
    dtype      precision of the activations.
    attention  the attention backend for self- and cross-attention.
    dense      what a stream's self-attention uses, one of `attention.backends.DENSE`: `own`, that is `attention`, or
               `fastest`, what is faster on its device and gives the same numbers. With that a stream also rotates
               and writes keys in one step where that is so.
    reader     how a stream reads the frames that SMA chose, one of `attention.backends.READERS`.
    compiler   compiles each block but for its self-attention, for the size that `compile_for` names, else that of the
               first pass. Passes of another size, as a recache is one, run uncompiled, so that a prompt switch compiles
               nothing. None: nothing is compiled.
    cross_attention  by layer, what runs in the place of the block's own cross-attention.
    weights    the tree's other sets of weights; None: it has none.
    listener   told where each forward stands.
    control    modules of a control branch; None: the model takes no control. Raises ValueError for one of another size.

    heads      heads of the model.
    share      those that this process attends with: all of them, but for `parallel.ParallelBackbone`.
    """

    def __init__(
        self,
        tree: WanTree | nn.Module,
        dtype: torch.dtype = torch.float32,
        *,
        attention: AttentionBackend = sdpa,
        dense: str = "own",
        reader: str = "gather",
        compiler: Compiler | None = None,
        cross_attention: Mapping[int, CrossAttention] | None = None,
        weights: WeightSets | None = None,
        listener: PassListener | None = None,
        control: ControlTree | nn.Module | None = None,
    ):
        # torch types every attribute of a module as Tensor | Module
        self.tree = cast(WanTree, tree)
        self.dtype = dtype
        self.attention = attention
        self.dense = dense
        self.reader = reader
        self.layers = len(self.tree.blocks)
        self.heads = self.tree.blocks[0].self_attn.num_heads
        self.share: HeadShare = AllHeads(self.heads)
        self.dim = self.tree.blocks[0].modulation.shape[-1]
        self.head_dim = self.dim // self.heads
        self.channels = self.tree.patch_embedding.weight.shape[1]
        self.text_dim = self.tree.text_embedding[0].in_features
        self._freq_dim = self.tree.time_embedding[0].in_features
        self._modulations: dict[float, TimestepModulation] = {}
        self._compiled = None if compiler is None else (compiler(pre_attention), compiler(post_attention))
        self._compiled_shape: torch.Size | None = None
        self._cross_attention = cross_attention or {}
        self._weight_sets = weights
        self._weights = ""
        self._listener = listener
        self.control = None if control is None else self._branch(control)

    def _branch(self, tree: ControlTree | nn.Module) -> ControlBranch:
        return ControlBranch(
            tree,
            layers=self.layers,
            dim=self.dim,
            heads=self.heads,
            channels=self.channels,
            dtype=self.dtype,
            attention=self.attention,
        )

    def compile_for(self, x: Sequence[int]) -> None:
        """Name the size [B, C, F, h, w] of the latents whose passes are compiled: a stream's chunks."""
        batch, _, frames, rows, columns = x
        tokens = self._own_tokens((rows // 2) * (columns // 2))
        self._compiled_shape = torch.Size((batch, frames, tokens, self.dim))

    def _own_tokens(self, tokens: int) -> int:
        """How many tokens of a latent frame go through this process's blocks."""
        return tokens

    @property
    def takes_text_by_frame(self) -> bool:
        """Whether a forward may be given a text for each latent frame: nobody else's attention runs, which is told of
        other shapes than it would get."""
        return not self._cross_attention and self._listener is None

    def use_weights(self, name: str) -> None:
        """Give the tree one of its sets of weights; what was computed with others is forgotten.

        Keys and values of a prompt (`embed_text`) are the caller's, to be made again.
        """
        if self._weight_sets is not None and name != self._weights:
            self._weight_sets.select(name)
            self._modulations.clear()
            self._weights = name

    def embed_text(self, text: Tensor) -> list[TextKV]:
        """Cross-attention keys and values of a prompt, one `TextKV` a layer, in the backbone's dtype.

        text  [B, length, text_dim], any floating point dtype; rows of padding are attended like the others.
        """
        context = self.tree.text_embedding(text.to(self.dtype))
        keys = [project_text_kv(block.cross_attn, context) for block in self.tree.blocks]
        for layer, attend in self._cross_attention.items():
            keys[layer] = replace(keys[layer], own=OwnCrossAttention(attend, context))
        return keys

    def embed_control_text(self, text: Tensor) -> list[TextKV]:
        """Cross-attention keys and values of a prompt [B, length, text_dim] for the control branch, by its blocks.

        Raises ValueError for a model without one.
        """
        if self.control is None:
            raise ValueError("the model has no control weights: load them beside it.")
        return self.control.embed_text(self.tree.text_embedding(text.to(self.dtype)))

    def __call__(
        self,
        x: Tensor,
        timesteps: Tensor | float,
        text: list[TextKV],
        attend: Attend,
        control: ControlInput | None = None,
    ) -> Tensor:
        """Predict the flow of noisy latent frames.

        x          [B, C, F, h, w], any floating point dtype; h and w even.
        timesteps  0 to 1000: [F], or one number for all frames, whose embedding is cached.
        text       from `embed_text`.
        control    steers the frames; None, or one whose strengths are all 0: nothing does.

        Returns the flow, of x's shape and dtype.
        """
        self._announce(timesteps, x.shape)
        modulation = self._modulation(timesteps, x.device)
        tokens = self._embed_patches(x)
        steering = self._steering(control, tokens, modulation)
        tokens = self._run_blocks(tokens, self.layers, modulation, text, attend, steering)
        return self._head(tokens, modulation.head, rows=x.shape[-2] // 2, columns=x.shape[-1] // 2).to(x.dtype)

    def write(self, x: Tensor, timesteps: Tensor | float, text: list[TextKV], attend: Attend) -> None:
        """Write the keys and values of latent frames x [B, C, F, h, w] to memory; arguments as in a call.

        No flow is predicted: the pass ends with the keys and values of the last layer.
        """
        self._announce(timesteps, x.shape)
        modulation = self._modulation(timesteps, x.device)
        last = self.layers - 1
        tokens = self._run_blocks(self._embed_patches(x), last, modulation, text, attend)
        self_attn_modulation, _ = modulation.blocks[last]
        k, v = project_kv(self.tree.blocks[last], tokens, self_attn_modulation)
        attend.store(last, k, v)

    def _steering(
        self, control: ControlInput | None, tokens: Tensor, modulation: TimestepModulation
    ) -> ControlPass | None:
        if control is None or control.idle or self.control is None:
            return None
        return self.control.begin(control, tokens, modulation.control, self._stages(tokens.shape))

    def _run_blocks(
        self,
        x: Tensor,
        count: int,
        modulation: TimestepModulation,
        text: list[TextKV],
        attend: Attend,
        steering: ControlPass | None = None,
    ) -> Tensor:
        """Run the first `count` blocks over tokens x [B, F, tokens, dim] -> as x."""
        # one for each batch item, or for each of its frames, which compiled forms do not know
        by_item = len(text[0].k) == len(x)
        pre, post = self._stages(x.shape) if by_item else (pre_attention, post_attention)
        for layer, block in zip(range(count), self.tree.blocks, strict=False):
            if self._listener is not None:
                self._listener.on_block(layer)
            # q, k and v have no names here, so that they are freed before the rest of the block runs
            attended = attend(layer, *pre(block, x, modulation.blocks[layer][0]))
            x = post(block, x, attended, modulation.blocks[layer], text[layer], self.attention)
            if steering is not None:
                x = steering.steer(layer, x)
        return x

    def _announce(self, timesteps: Tensor | float, shape: torch.Size) -> None:
        if self._listener is not None:
            timestep = float(timesteps.max()) if isinstance(timesteps, Tensor) else timesteps
            self._listener.on_pass(timestep, (shape[2], shape[3] // 2, shape[4] // 2))

    def _stages(self, shape: torch.Size) -> tuple[Callable, Callable]:
        """(pre_attention, post_attention) for tokens of a shape: compiled if it is that which was named."""
        if self._compiled is None:
            return pre_attention, post_attention
        if self._compiled_shape is None:
            self._compiled_shape = shape
        return self._compiled if shape == self._compiled_shape else (pre_attention, post_attention)

    def _modulation(self, timesteps: Tensor | float, device: torch.device) -> TimestepModulation:
        """Modulation at timesteps [F], or at one for all frames, which is computed once and cached."""
        if isinstance(timesteps, Tensor):
            return self._modulation_at(timesteps)
        if timesteps not in self._modulations:
            self._modulations[timesteps] = self._modulation_at(torch.full((1,), timesteps, device=device))
        return self._modulations[timesteps]

    def _modulation_at(self, timesteps: Tensor) -> TimestepModulation:
        time = self.tree.time_embedding(sinusoid(timesteps, self._freq_dim).to(self.dtype))  # [n, dim]
        projected = self.tree.time_projection(time).unflatten(-1, (6, self.dim))  # [n, 6, dim]
        control = [] if self.control is None else self.control.blocks
        blocks, steering = (
            [self._of_block(block, projected) for block in part] for part in (self.tree.blocks, control)
        )
        shift, scale = self._modulate(self.tree.head.modulation, time[:, None])
        return TimestepModulation(blocks, Modulation.of(shift, scale), steering)

    def _of_block(self, block: WanBlock, projected: Tensor) -> tuple[Modulation, Modulation]:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self._modulate(block.modulation, projected)
        return Modulation.of(shift_a, scale_a, gate_a), Modulation.of(shift_f, scale_f, gate_f)

    def _modulate(self, table: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        """table [1, m, dim] + time [n, m or 1, dim] -> m tensors [n, 1, dim]."""
        # a bare parameter is the one kind of weight that no module casts or moves by itself
        table = table.to(device=time.device, dtype=time.dtype)
        return (table + time).unsqueeze(2).unbind(1)

    def _embed_patches(self, x: Tensor) -> Tensor:
        """[B, C, F, h, w] -> [B, F, tokens, dim]."""
        return embed_patches(self.tree.patch_embedding, x, self.dtype)

    def _head(self, x: Tensor, modulation: Modulation, *, rows: int, columns: int) -> Tensor:
        """[B, F, rows * columns, dim] -> [B, C, F, 2 * rows, 2 * columns]."""
        return self._join_patches(self._project_patches(x, modulation), rows=rows, columns=columns)

    def _project_patches(self, x: Tensor, modulation: Modulation) -> Tensor:
        """[B, F, tokens, dim] -> [B, F, tokens, 2 * 2 * C]."""
        head = self.tree.head
        return head.head(modulated_norm(head.norm, x, modulation))

    def _join_patches(self, x: Tensor, *, rows: int, columns: int) -> Tensor:
        """[B, F, rows * columns, 2 * 2 * C] -> [B, C, F, 2 * rows, 2 * columns]."""
        return rearrange(x, "b f (h w) (p q c) -> b c f (h p) (w q)", h=rows, w=columns, p=2, q=2)
