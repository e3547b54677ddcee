"""Attention over bank, sink and window; top-k per head (SMA); kernels and their choice."""

from .autotune import Variants, failures, time_ms, times_ms
from .memory_attention import AttentionPass, MemoryAttention
from .select import ReadShape, attention_backends, fastest_attention, memory_reader, memory_readers
from .share import BANK, SINK, UNREAD, WINDOW, AttentionShareMeter
from .sparse import GatherAttention, SparseAttention, TritonAttention
from .topk_naive import take_frames, topk_attention

__all__ = [
    "AttentionPass",
    "BANK",
    "TritonAttention",
    "GatherAttention",
    "MemoryAttention",
    "SparseAttention",
    "ReadShape",
    "SINK",
    "AttentionShareMeter",
    "UNREAD",
    "WINDOW",
    "Variants",
    "attention_backends",
    "fastest_attention",
    "failures",
    "memory_reader",
    "memory_readers",
    "take_frames",
    "time_ms",
    "times_ms",
    "topk_attention",
]
