"""Choose attention backends and sparse readers for a device, by a short measurement.

Nothing here needs to be built or installed: installed backends are found, tried and timed, once in a process for each
device, shape and dtype, before a stream's first chunk. Measurements are logged.
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
APPROXIMATE = ("sage",)  # these round queries and keys to 8 bits: only used when asked for by name
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class ReadShape:
    """What one layer reads when memory and window are full: `top_k` of `memory` latent frames, and `window` of them."""

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
        """Random inputs of a `SparseAttention`.

        q [B, heads, L, head_dim], keys and values [B, heads, frames, tokens, head_dim], chosen [B, heads, k] int64.
        """
        generator = torch.Generator(device).manual_seed(0)
        draw = partial(torch.randn, generator=generator, device=device, dtype=dtype)
        stretch = (self.batch, self.heads, self.memory + self.window, self.tokens, self.head_dim)
        order = torch.rand(self.batch, self.heads, self.memory, generator=generator, device=device).argsort(dim=-1)
        q = draw(self.batch, self.heads, self.queries, self.head_dim)
        return q, draw(stretch), draw(stretch), order[..., : self.top_k].sort(dim=-1).values


# -- dense attention --------------------------------------------------------------------------------------------------


def attention_backends(device: torch.device, dtype: torch.dtype) -> dict[str, AttentionBackend]:
    """Attention backends that may run on a device, torch's own choice first; a trial shows which do."""
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
    """Name of the fastest of `attention_backends` for a layer that reads memory and window whole.

    Where there is only one, nothing is timed.
    """
    backends = attention_backends(device, dtype)
    exact = {name: backend for name, backend in backends.items() if name not in APPROXIMATE}
    if len(exact) == 1:
        return "torch"
    q, keys, values, _ = shape.draw(dtype, device)
    k, v = keys.flatten(2, 3), values.flatten(2, 3)
    variants = {name: partial(backend, q, k, v) for name, backend in exact.items()}
    return _measure(f"attention, {shape}", variants, sdpa(q, k, v), device)


# -- sparse memory ----------------------------------------------------------------------------------------------------


def memory_readers(device: torch.device, dtype: torch.dtype, attention: AttentionBackend) -> dict[str, SparseAttention]:
    """Sparse readers that may run on a device, the gathering one first; a trial shows which do."""
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
    """Make the sparse reader that `backbone.reader` names; None where the stream's heads read all of memory.

    Raises ValueError for a name that is none of READERS, or that this machine cannot run.
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
    size = ReadShape(
        batch=shape.batch,
        heads=backbone.share.count,
        head_dim=backbone.head_dim,
        queries=sampling.chunk_frames * shape.tokens,
        tokens=shape.tokens,
        memory=held,
        window=memory.window_frames,
        top_k=memory.top_k,
    )
    name = _fastest_reader(device, backbone.dtype, size, backbone.attention)
    return memory_readers(device, backbone.dtype, backbone.attention)[name]


@cache
def _fastest_reader(device: torch.device, dtype: torch.dtype, shape: ReadShape, attention: AttentionBackend) -> str:
    readers = memory_readers(device, dtype, attention)
    if len(readers) == 1:
        logger.warning("MemFlow: Triton is not installed, so SMA copies the frames it reads, which is slower.")
        return next(iter(readers))
    drawn = (*shape.draw(dtype, device), shape.memory)
    variants = {name: partial(reader, *drawn) for name, reader in readers.items()}
    return _measure(f"sparse memory, {shape}", variants, GatherAttention(sdpa)(*drawn), device)


def _cudnn_partial(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    out, total = torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, True)[:2]
    return out, total.reshape(q.shape[:3])


def _flash_partial(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[:2]


PARTIAL: dict[str, PartialAttention] = {"cudnn": _cudnn_partial, "flash": _flash_partial}


def _measure(what: str, variants: Variants, expected: Tensor, device: torch.device) -> str:
    """The name of the fastest variant; logged once, since callers cache it."""
    started = time.perf_counter()
    timings = autotune(variants, expected, device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    took = time.perf_counter() - started
    logger.info("MemFlow: %s on %s: %s: %s. Measured in %.1f s.", what, where, timings, timings.fastest, took)
    return timings.fastest
