"""Make the cache and the self-attention that a stream's settings ask for."""

from __future__ import annotations

import torch

from ..attention import MemoryAttention, memory_reader
from ..config import LatentShape, MemoryConfig, SamplingConfig
from ..memory import KVCache, SlotLayout
from ..model import Backbone, Rope


def make_cache(model: Backbone, shape: LatentShape, memory: MemoryConfig, device: torch.device) -> KVCache:
    """An empty KV cache of the model's layers and heads, in its dtype or in fp8."""
    return KVCache(
        SlotLayout(memory.sink_frames, memory.window_frames, memory.bank_slots),
        layers=model.layers,
        batch=shape.batch,
        heads=model.share.count,
        tokens=shape.tokens,
        head_dim=model.head_dim,
        dtype=model.dtype,
        device=device,
        in_fp8=memory.cache == "fp8",
        share=model.share,
    )


def make_attention(
    model: Backbone,
    cache: KVCache,
    *,
    shape: LatentShape,
    memory: MemoryConfig,
    sampling: SamplingConfig,
    relative: bool,
    reads_empty_sink: bool,
) -> MemoryAttention:
    """Self-attention over the cache, with the model's attention backend; see `MemoryAttention`."""
    return MemoryAttention(
        cache,
        Rope(model.head_dim, shape.rows // 2, shape.columns // 2, cache.device),
        backend=model.attention,
        top_k=memory.top_k,
        relative=relative,
        reads_empty_sink=reads_empty_sink,
        reader=memory_reader(model, memory, sampling, shape, cache.device),
        bank_layers=memory.bank_layers,
    )
