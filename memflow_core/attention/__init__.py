"""Attention over bank, sink and window; top-k per head (SMA); kernels and their choice."""

from .autotune import Ways, flaws, time_ms, times_ms
from .memory_attention import MemoryAttention
from .select import ReadShape, attention_backends, fastest_attention, memory_reader, memory_readers
from .share import BANK, SINK, UNREAD, WINDOW, ShareMeter
from .sparse import Fused, Gather, MemoryReader
from .topk_naive import take_frames, topk_attention

__all__ = [
    "BANK",
    "Fused",
    "Gather",
    "MemoryAttention",
    "MemoryReader",
    "ReadShape",
    "SINK",
    "ShareMeter",
    "UNREAD",
    "WINDOW",
    "Ways",
    "attention_backends",
    "fastest_attention",
    "flaws",
    "memory_reader",
    "memory_readers",
    "take_frames",
    "time_ms",
    "times_ms",
    "topk_attention",
]
