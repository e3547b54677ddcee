"""Attention over bank, sink and window; top-k per head (SMA); kernels, and the choice between them."""

from .activation import activate
from .alone import AloneAttention
from .autotune import Variants, autotune, failures, time_ms, times_ms
from .backends import (
    ReadShape,
    attention_backends,
    dense_attention,
    fastest_attention,
    memory_reader,
    memory_readers,
    runs_triton,
)
from .memory_attention import AttentionPass, MemoryAttention
from .rope_write import Destination, RopeWrite, fused_rope_write, naive_rope_write, rope_write_trial, rope_writer
from .share import BANK, SINK, UNREAD, WINDOW, AttentionShareMeter
from .sparse import GatherAttention, SparseAttention, TritonAttention
from .topk_naive import take_frames, topk_attention

__all__ = [
    "BANK",
    "SINK",
    "UNREAD",
    "WINDOW",
    "AloneAttention",
    "AttentionPass",
    "AttentionShareMeter",
    "Destination",
    "GatherAttention",
    "MemoryAttention",
    "ReadShape",
    "RopeWrite",
    "SparseAttention",
    "TritonAttention",
    "Variants",
    "activate",
    "attention_backends",
    "autotune",
    "dense_attention",
    "failures",
    "fastest_attention",
    "fused_rope_write",
    "memory_reader",
    "memory_readers",
    "naive_rope_write",
    "rope_write_trial",
    "rope_writer",
    "runs_triton",
    "take_frames",
    "time_ms",
    "times_ms",
    "topk_attention",
]
