"""The module tree of Wan 2.1 text-to-video in plain torch, in the attribute names of the published checkpoints.

The modules hold parameters only. The forward is `Backbone`, which drives any tree of these names (`WanTree`).
"""

from __future__ import annotations

import torch
from torch import nn

from ..config import ModelConfig

MODULATIONS = 6  # shift, scale, gate of self-attention, and of the feed-forward


class Attention(nn.Module):
    """Projections and query/key norms of self- or cross-attention. The norms span dim, all heads together."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        self.norm_q = nn.RMSNorm(config.dim, eps=config.eps)
        self.norm_k = nn.RMSNorm(config.dim, eps=config.eps)


class Block(nn.Module):
    """One transformer block, in the order of its forward (`block.py`)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.self_attn = Attention(config)
        self.norm3 = nn.LayerNorm(config.dim, config.eps)
        self.cross_attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(config.dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, config.dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, MODULATIONS, config.dim) / config.dim**0.5)


class Head(nn.Module):
    """The output head: dim to the out_channels of a (1, 2, 2) patch."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = nn.Linear(config.dim, config.out_channels * 4)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)


class WanModel(nn.Module):
    """A whole model. Its state dict has the keys of the Wan 2.1 files: `blocks.0.self_attn.q.weight` ..."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, kernel_size=(1, 2, 2), stride=(1, 2, 2))
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim * MODULATIONS))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)
