"""Count what a chunk takes: operations of its matrix products and attention, and bytes that must move.

A multiplication and an addition are two operations. Bytes are those of an implementation that fuses every step that
is not a product into its neighbours: each product reads its weights and its input and writes its output once,
attention reads queries, keys and values once and writes its output.
"""

from __future__ import annotations

from dataclasses import dataclass

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import control_channels


@dataclass(frozen=True)
class Work:
    """Operations and bytes."""

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Work:
        return Work(times * self.flops, times * self.bytes)


def frames_read(memory: MemoryConfig) -> int:
    """Return how many latent frames a query reads when memory and window are full."""
    held = memory.sink_frames + memory.bank_slots
    return memory.window_frames + (held if memory.top_k is None else min(memory.top_k, held))


def chunk_work(
    model: ModelConfig,
    shape: LatentShape,
    *,
    memory: MemoryConfig,
    text_length: int,
    dtype_bytes: int,
    sampling: SamplingConfig | None = None,
    passes: int | None = None,
    made: int | None = None,
) -> Work:
    """Count a chunk when memory and window are full: its denoising steps and its context pass, without a switch.

    text_length  tokens of a prompt.
    dtype_bytes  bytes of a number, in weights and activations.
    passes       denoising passes; None: those of the steps.
    made         latent frames that a pass goes over and reads, with none beside; None: a chunk's.
    """
    sampling = sampling or SamplingConfig()
    frames = sampling.chunk_frames if made is None else made
    layer = _Layer(model, shape.batch * frames * shape.tokens, dtype_bytes)
    read = frames_read(memory) if made is None else made
    whole = layer.whole(read * shape.tokens, text_length)
    ends = layer.product(4 * model.in_channels, model.dim) + layer.product(model.dim, 4 * model.out_channels)
    denoise = whole * model.num_layers + ends
    context = whole * (model.num_layers - 1) + layer.keys + layer.product(4 * model.in_channels, model.dim)
    return denoise * (len(sampling.steps) if passes is None else passes) + context


def control_work(
    model: ModelConfig,
    shape: LatentShape,
    *,
    blocks: int,
    text_length: int,
    dtype_bytes: int,
    sampling: SamplingConfig | None = None,
) -> Work:
    """Count what a control branch of so many blocks adds to a chunk: it sees the chunk alone, in denoising alone."""
    sampling = sampling or SamplingConfig()
    layer = _Layer(model, shape.batch * sampling.chunk_frames * shape.tokens, dtype_bytes)
    block = layer.whole(sampling.chunk_frames * shape.tokens, text_length) + layer.product(model.dim, model.dim)
    ends = layer.product(4 * control_channels(model.in_channels), model.dim) + layer.product(model.dim, model.dim)
    return (block * blocks + ends) * len(sampling.steps)


@dataclass(frozen=True)
class _Layer:
    """Work of one block over `rows` tokens."""

    model: ModelConfig
    rows: int
    dtype_bytes: int

    def product(self, width: int, out: int) -> Work:
        """Multiply [rows, width] by [width, out]."""
        moved = self.rows * (width + out) + width * out
        return Work(2 * self.rows * width * out, self.dtype_bytes * moved)

    def attention(self, read: int) -> Work:
        """Attend from each token to `read` others."""
        dim = self.model.dim
        return Work(4 * self.rows * read * dim, self.dtype_bytes * 2 * dim * (self.rows + read))

    @property
    def keys(self) -> Work:
        """Project keys and values."""
        return self.product(self.model.dim, self.model.dim) * 2

    def whole(self, read: int, text_length: int) -> Work:
        """Run the whole block: self-attention to `read` tokens, cross-attention to the text, feed-forward."""
        dim, ffn = self.model.dim, self.model.ffn_dim
        products = self.product(dim, dim) * 6 + self.product(dim, ffn) + self.product(ffn, dim)
        return products + self.attention(read) + self.attention(text_length)
