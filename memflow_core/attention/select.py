"""Which attention backends and memory readers a device can run, and the fastest of them by a short measurement.

Nothing here needs to be built or installed: what is there is found, tried and timed, once in a process for each device,
shape and dtype, before a stream's first chunk. What was measured is logged.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..config import LatentShape, MemoryConfig, SamplingConfig
from ..model import AttentionBackend, Backbone, sdpa
from .autotune import Variants, autotune
from .sparse import GatherAttention, PartialAttention, SparseAttention, TritonAttention

logger = logging.getLogger(__name__)

READERS = ("gather", "fused", "fastest")
APPROXIMATE = ("sage",)  # these round queries and keys to 8 bits: to be asked for, not chosen for being fast
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class ReadShape:
    """What one layer reads when memory and window are full; frames are latent frames, top_k of `memory` are read."""

    batch: int
    heads: int
    head_dim: int
    queries: int
    tokens: int
    memory: int
    window: int
    top_k: int

    def __str__(self) -> str:
        return (
            f"{self.batch} x {self.heads} heads of {self.head_dim}, {self.queries} queries, {self.tokens} tokens a "
            f"latent frame, {self.top_k} of {self.memory} memory frames and a window of {self.window}"
        )

    def draw(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Random q, keys and values as a layer has them, and chosen frames, as a `SparseAttention` takes them."""
        generator = torch.Generator(device).manual_seed(0)
        draw = partial(torch.randn, generator=generator, device=device, dtype=dtype)
        stretch = (self.batch, self.heads, self.memory + self.window, self.tokens, self.head_dim)
        order = torch.rand(self.batch, self.heads, self.memory, generator=generator, device=device).argsort(dim=-1)
        q = draw(self.batch, self.heads, self.queries, self.head_dim)
        return q, draw(stretch), draw(stretch), order[..., : self.top_k].sort(dim=-1).values


# -- dense attention --------------------------------------------------------------------------------------------------


def attention_backends(device: torch.device, dtype: torch.dtype) -> dict[str, AttentionBackend]:
    """Every attention backend that may run there, torch's own choice first. Which do shows when they are tried."""
    found: dict[str, AttentionBackend] = {"torch": sdpa}
    if device.type != "cuda" or dtype not in HALF:
        return found
    found |= {"cudnn": _pinned(SDPBackend.CUDNN_ATTENTION), "flash": _pinned(SDPBackend.FLASH_ATTENTION)}
    if find_spec("flash_attn_interface"):
        found["flash 3"] = _flash_attention_3(import_module("flash_attn_interface").flash_attn_func)
    if find_spec("sageattention"):
        found["sage"] = partial(import_module("sageattention").sageattn, tensor_layout="HND", is_causal=False)
    return found


def _pinned(kind: SDPBackend) -> AttentionBackend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(kind):
            return F.scaled_dot_product_attention(q, k, v)

    return attend


def _flash_attention_3(attention: Callable) -> AttentionBackend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        result = attention(*(x.transpose(1, 2) for x in (q, k, v)))
        # older releases return the log-sum-exp too
        return (result[0] if isinstance(result, tuple) else result).transpose(1, 2)

    return attend


@cache
def fastest_attention(device: torch.device, dtype: torch.dtype, shape: ReadShape) -> str:
    """Which of `attention_backends` is the fastest for a layer that reads memory and window whole.

    Where there is one only, nothing is timed.
    """
    ways = {name: way for name, way in attention_backends(device, dtype).items() if name not in APPROXIMATE}
    if len(ways) == 1:
        return "torch"
    q, keys, values, _ = shape.draw(dtype, device)
    k, v = keys.flatten(2, 3), values.flatten(2, 3)
    tried = {name: partial(way, q, k, v) for name, way in ways.items()}
    return _measure(f"attention, {shape}", tried, sdpa(q, k, v), device)


# -- sparse memory ----------------------------------------------------------------------------------------------------


def memory_readers(device: torch.device, dtype: torch.dtype, attention: AttentionBackend) -> dict[str, SparseAttention]:
    """Every reader that may run there, the one that copies first. Which do shows when they are tried."""
    readers: dict[str, SparseAttention] = {"gather": GatherAttention(attention)}
    if device.type != "cuda" or find_spec("triton") is None:
        return readers
    from .topk_triton import tilings

    readers |= {f"fused ({tiling})": TritonAttention(tiling) for tiling in tilings(dtype)}
    if dtype in HALF:
        readers |= {f"{name} + fused": TritonAttention(window=window) for name, window in PARTIAL.items()}
    return readers


def memory_reader(
    backbone: Backbone, memory: MemoryConfig, sampling: SamplingConfig, shape: LatentShape, device: torch.device
) -> SparseAttention | None:
    """The reader that `backbone.reader` names, for a stream of these settings; None if its heads read all of memory.

    Raises ValueError for a name that is none of READERS, or that this machine has no means for.
    """
    held = memory.sink_frames + memory.bank_slots
    if backbone.reader not in READERS:
        raise ValueError(f"the memory reader is {backbone.reader!r}, but must be one of {', '.join(READERS)}.")
    if memory.top_k is None or memory.top_k == held:
        return None
    if backbone.reader == "gather" or (backbone.reader == "fastest" and device.type != "cuda"):
        return GatherAttention(backbone.attention)
    if backbone.reader == "fused":
        if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            raise ValueError("the memory reader is 'fused', which needs a GPU: choose gather or fastest on a CPU.")
        return TritonAttention()
    queries = sampling.chunk_frames * shape.tokens
    size = ReadShape(shape.batch, backbone.heads, backbone.head_dim, queries, shape.tokens, held, memory.window_frames,
                     memory.top_k)  # fmt: skip
    name = _fastest_reader(device, backbone.dtype, size, backbone.attention)
    return memory_readers(device, backbone.dtype, backbone.attention)[name]


@cache
def _fastest_reader(device: torch.device, dtype: torch.dtype, shape: ReadShape, attention: AttentionBackend) -> str:
    readers = memory_readers(device, dtype, attention)
    if len(readers) == 1:
        logger.warning("MemFlow: Triton is not installed, so SMA copies the frames it reads, which is slower.")
        return next(iter(readers))
    drawn = (*shape.draw(dtype, device), shape.memory)
    tried = {name: partial(reader, *drawn) for name, reader in readers.items()}
    return _measure(f"sparse memory, {shape}", tried, GatherAttention(sdpa)(*drawn), device)


def _cudnn_partial(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    out, total = torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, True)[:2]
    return out, total.reshape(q.shape[:3])


def _flash_partial(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[:2]


PARTIAL: dict[str, PartialAttention] = {"cudnn": _cudnn_partial, "flash": _flash_partial}


def _measure(what: str, ways: Variants, expected: Tensor, device: torch.device) -> str:
    """The name of the fastest way; said once, since who asks remembers it."""
    started = time.perf_counter()
    contest = autotune(ways, expected, device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    took = time.perf_counter() - started
    logger.info("MemFlow: %s on %s: %s: %s. Measured in %.1f s.", what, where, contest, contest.fastest, took)
    return contest.fastest
