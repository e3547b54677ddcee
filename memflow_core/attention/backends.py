"""Choose attention backends and sparse readers for a device, by a short measurement.

Nothing here needs to be built or installed: installed backends are found, tried and timed, once in a process for each
device, shape and dtype, before a stream's first chunk. Measurements are logged.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
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
from .autotune import Timings, Variants, autotune, failures
from .sparse import GatherAttention, PartialAttention, SparseAttention, TritonAttention

logger = logging.getLogger(__name__)

DENSE = ("own", "fastest")
OWN = "own"
READERS = ("gather", "fused", "fastest")
APPROXIMATE = ("sage",)  # these round queries and keys to 8 bits: only used when asked for by name
HALF = (torch.float16, torch.bfloat16)
LAST_CUDNN_OUT_OF_BOUNDS = 91500
LEAST_CAPABILITY = (8, 0)  # below it Triton has no tensor cores, and takes minutes to compile the fused reader


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

    @property
    def fills(self) -> list[int]:
        """Latent frames that are read while the window fills, and then the bank, the whole last."""
        whole, chunk = self.memory + self.window, max(1, self.queries // self.tokens)
        return sorted({*range(chunk, whole, chunk), *range(self.window + 1, whole + 1)})

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
    if cudnn_stays_in_bounds():
        found["cudnn"] = _pinned(SDPBackend.CUDNN_ATTENTION)
    found["flash"] = _pinned(SDPBackend.FLASH_ATTENTION)
    if find_spec("flash_attn_interface"):
        found["flash 3"] = _flash_attention_3(import_module("flash_attn_interface").flash_attn_func)
    if find_spec("sageattention"):
        found["sage"] = partial(import_module("sageattention").sageattn, tensor_layout="HND", is_causal=False)
    return found


def cudnn_stays_in_bounds() -> bool:
    """Whether cuDNN's attention may be used: up to 9.15.0 it reads beyond keys whose number 128 does not divide."""
    # of AMD's torch this is the version of another library
    return torch.version.cuda is not None and (torch.backends.cudnn.version() or 0) > LAST_CUDNN_OUT_OF_BOUNDS


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


def dense_attention(
    backbone: Backbone, memory: MemoryConfig, sampling: SamplingConfig, shape: LatentShape, device: torch.device
) -> AttentionBackend:
    """The attention backend of a stream's self-attention.

    The backbone's own, or with `backbone.dense` "fastest" one that is faster and gives the same numbers.
    """
    if backbone.dense not in DENSE:
        raise ValueError(f"the dense attention is {backbone.dense!r}, but must be one of {', '.join(DENSE)}.")
    if backbone.dense == "own":
        return backbone.attention
    size = _read_shape(backbone, memory, sampling, shape)
    name = fastest_attention(device, backbone.dtype, size, backbone.attention)
    return backbone.attention if name == OWN else attention_backends(device, backbone.dtype)[name]


@cache
def fastest_attention(
    device: torch.device, dtype: torch.dtype, shape: ReadShape, own: AttentionBackend | None = None
) -> str:
    """Name of the fastest of `attention_backends` for a layer that reads memory and window whole.

    One that is wrong at any of the lengths that a stream reads as its memory fills is left out. Where there is only
    torch's own, nothing is timed.

    own  a further backend, OWN by name, which stays where none is clearly faster.
    """
    backends = attention_backends(device, dtype)
    exact = {name: backend for name, backend in backends.items() if name not in APPROXIMATE}
    if len(exact) == 1:
        return "torch" if own is None else OWN
    offered = exact if own is None else {OWN: own, **exact}
    q, keys, values, _ = shape.draw(dtype, device)

    def at(frames: int) -> tuple[Variants, Tensor]:
        k, v = (x[:, :, :frames].flatten(2, 3) for x in (keys, values))
        return {name: partial(backend, q, k, v) for name, backend in offered.items()}, sdpa(q, k, v)

    return fastest_of(f"attention, {shape}", at, shape.fills, device)


# -- sparse memory ----------------------------------------------------------------------------------------------------


def memory_readers(device: torch.device, dtype: torch.dtype, attention: AttentionBackend) -> dict[str, SparseAttention]:
    """Sparse readers that may run on a device, the gathering one first; a trial shows which do."""
    readers: dict[str, SparseAttention] = {"gather": GatherAttention(attention)}
    if device.type != "cuda" or not runs_triton(device):
        return readers
    from .topk_triton import tilings

    readers |= {f"fused ({tiling})": TritonAttention(tiling) for tiling in tilings(dtype)}
    if dtype in HALF:
        partial_attention = {name: one for name, one in PARTIAL.items() if name != "cudnn" or cudnn_stays_in_bounds()}
        readers |= {f"{name} + fused": TritonAttention(window=one) for name, one in partial_attention.items()}
    return readers


def runs_triton(device: torch.device) -> bool:
    """Whether a GPU is fit for our kernels in Triton, and that is installed."""
    if find_spec("triton") is None:
        return False
    # AMD counts otherwise
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY


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
    if backbone.reader == "fused":
        if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            raise ValueError("the memory reader is 'fused', which needs a GPU: choose gather or fastest on a CPU.")
        if device.type == "cuda" and find_spec("triton") is not None and not runs_triton(device):
            raise ValueError(
                "the memory reader is 'fused', which needs a GPU of compute capability 8.0 or more: choose gather or "
                "fastest."
            )
        return TritonAttention()
    attention = dense_attention(backbone, memory, sampling, shape, device)
    if backbone.reader == "gather" or device.type != "cuda":
        return GatherAttention(attention)
    name = _fastest_reader(device, backbone.dtype, _read_shape(backbone, memory, sampling, shape), attention)
    return memory_readers(device, backbone.dtype, attention)[name]


def _read_shape(backbone: Backbone, memory: MemoryConfig, sampling: SamplingConfig, shape: LatentShape) -> ReadShape:
    held = memory.sink_frames + memory.bank_slots
    return ReadShape(
        batch=shape.batch,
        heads=backbone.share.count,
        head_dim=backbone.head_dim,
        queries=sampling.chunk_frames * shape.tokens,
        tokens=shape.tokens,
        memory=held,
        window=memory.window_frames,
        top_k=held if memory.top_k is None else memory.top_k,
    )


@cache
def _fastest_reader(device: torch.device, dtype: torch.dtype, shape: ReadShape, attention: AttentionBackend) -> str:
    readers = memory_readers(device, dtype, attention)
    if len(readers) == 1:
        why = "Triton is not installed" if find_spec("triton") is None else "this GPU is too old for the fused reader"
        logger.warning("MemFlow: %s, so SMA copies the frames it reads, which is slower.", why)
        return next(iter(readers))
    q, keys, values, chosen = shape.draw(dtype, device)

    def at(frames: int) -> tuple[Variants, Tensor]:
        drawn = (q, keys[:, :, :frames], values[:, :, :frames], chosen, shape.memory)
        return {name: partial(reader, *drawn) for name, reader in readers.items()}, GatherAttention(sdpa)(*drawn)

    chunk = max(1, shape.queries // shape.tokens)
    windows = {*range(chunk, shape.window, chunk), shape.window}
    return fastest_of(f"sparse memory, {shape}", at, [shape.memory + window for window in sorted(windows)], device)


def _cudnn_partial(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    out, total = torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, True)[:2]
    return out, total.reshape(q.shape[:3])


def _flash_partial(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[:2]


PARTIAL: dict[str, PartialAttention] = {"cudnn": _cudnn_partial, "flash": _flash_partial}


def fastest_of(
    what: str, at: Callable[[int], tuple[Variants, Tensor]], lengths: Sequence[int], device: torch.device
) -> str:
    """The name of the fastest variant; logged once, since callers cache it.

    at       (variants, what each of them gives) over so many latent frames.
    lengths  at which a variant must be right, the one that is timed last.
    """
    started = time.perf_counter()
    # events are of the current device's stream
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        timings = _contest(at, lengths, device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    took = time.perf_counter() - started
    logger.info("MemFlow: %s on %s: %s: %s. Measured in %.1f s.", what, where, timings, timings.fastest, took)
    return timings.fastest


def _contest(at: Callable[[int], tuple[Variants, Tensor]], lengths: Sequence[int], device: torch.device) -> Timings:
    wrong: dict[str, str] = {}
    for length in lengths[:-1]:
        variants, expected = at(length)
        tried = {name: variant for name, variant in variants.items() if name not in wrong}
        found = failures(tried, expected)
        wrong |= {name: f"over {length} latent frames, {reason}" for name, reason in found.items()}
    return autotune(*at(lengths[-1]), device, known=wrong)
