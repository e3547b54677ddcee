"""Make the cache and the self-attention that a stream's settings ask for."""

from __future__ import annotations

import torch
from torch import Tensor

from ..attention import MemoryAttention, dense_attention, memory_reader, rope_writer
from ..config import MAX_ABSOLUTE_FRAMES, LatentShape, MemoryConfig, SamplingConfig
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


def check_reach(layout: SlotLayout, start: int, frames: int, switch: str | None, memory: MemoryConfig) -> None:
    """Raise ValueError where a chunk of `frames` latent frames from `start` on ends beyond the last absolute position.

    switch  of the prompt that it begins with; None: the prompt stays.
    """
    began, jumps = (start, 0) if switch == "fresh" else (layout.began, len(layout.jumps))
    if start - began + frames + memory.shot_offset * (jumps + (switch == "jump")) > MAX_ABSOLUTE_FRAMES:
        raise ValueError(
            f"absolute positions end at {MAX_ABSOLUTE_FRAMES} latent frames, which this stream has reached: start it "
            f"with relative positions to go on."
        )


def check_given(latents: Tensor, size: tuple[int, ...]) -> None:
    """Raise ValueError for a chunk of latents that has not the size [B, C, F, h, w] of a stream's chunks."""
    if tuple(latents.shape) != size:
        raise ValueError(f"the chunk given has shape {list(latents.shape)}, but this stream's have {list(size)}.")


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
    """Self-attention over the cache; see `MemoryAttention`."""
    return MemoryAttention(
        cache,
        Rope(model.head_dim, shape.rows // 2, shape.columns // 2, cache.device),
        backend=dense_attention(model, memory, sampling, shape, cache.device),
        top_k=memory.top_k,
        relative=relative,
        reads_empty_sink=reads_empty_sink,
        shot_offset=memory.shot_offset,
        reader=memory_reader(model, memory, sampling, shape, cache.device),
        bank_layers=memory.bank_layers,
        rope_write=rope_writer(model, memory, sampling, shape, cache.device, turn_keys=not relative),
    )
