"""The module tree that the forward drives, as a protocol in the attribute names of the Wan 2.1 checkpoint.

`Backbone` calls these submodules and reads these attributes, and no others. A model of this tree can be streamed:

- our own `WanModel`, in plain torch;
- ComfyUI's `WanModel`, with the casting, offloading, quantisation and LoRAs that stand behind its layers;
- another model family whose blocks are laid out alike, under the same names.

Sizes are read off the tree: layers from `len(blocks)`, heads from `num_heads`, dim from a block's `modulation`, latent
channels from `patch_embedding.weight`, text and timestep widths from the first layers of their embeddings. Patches are
(1, 2, 2). Parameters may be in any precision and on any device that their modules themselves can compute with; only the
bare `modulation` tables are cast and moved by the forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn


class Layer(Protocol):
    """A module of one input and one output, as `nn.Linear` and `nn.RMSNorm` are."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


class Linear(Layer, Protocol):
    """[..., in_features] -> [..., out]."""

    in_features: int


class Norm(Layer, Protocol):
    """A layer norm over the last dimension, without weights of its own: shift and scale come from the timestep."""

    eps: float


class PatchEmbedding(Layer, Protocol):
    """A 3D convolution whose kernel and stride are (1, 2, 2): [B, C, F, h, w] -> [B, dim, F, h / 2, w / 2]."""

    weight: Tensor  # [dim, C, 1, 2, 2]


class Embedding(Layer, Protocol):
    """A sequence of layers, the first of which is linear."""

    def __getitem__(self, index: int, /) -> Linear: ...


class WanAttention(Protocol):
    """Projections and query/key norms of one attention. q, k, v, o map [..., dim] -> [..., dim]."""

    num_heads: int
    q: Layer
    k: Layer
    v: Layer
    o: Layer
    norm_q: Layer  # RMSNorm over dim, all heads together
    norm_k: Layer


class WanBlock(Protocol):
    """One transformer block, in the order in which `block.py` runs it."""

    modulation: Tensor  # [1, 6, dim]: shift, scale, gate of self-attention, then of the feed-forward
    norm1: Norm
    self_attn: WanAttention
    norm3: Layer  # a layer norm with weights
    cross_attn: WanAttention
    norm2: Norm
    ffn: nn.Sequential  # Linear, GELU (tanh), Linear


class WanHead(Protocol):
    """The output head: [..., dim] -> [..., 2 * 2 * C]."""

    modulation: Tensor  # [1, 2, dim]: shift, scale
    norm: Norm
    head: Layer


class WanTree(Protocol):
    """A whole model."""

    patch_embedding: PatchEmbedding
    text_embedding: Embedding  # [B, length, text_dim] -> [B, length, dim]
    time_embedding: Embedding  # sinusoid [n, freq_dim] -> [n, dim]
    time_projection: Layer  # [n, dim] -> [n, 6 * dim]
    blocks: Sequence[WanBlock]
    head: WanHead
