"""What the sections share: device, precision, size, random weights, and streams on them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from memflow_core.attention import ReadShape, attention_backends, fastest_attention, fused_rope_write, runs_triton
from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import AttentionBackend, sdpa

from ..sizes import SIZES, Size
from ..stream import Weights, make_stream

CHUNK = SamplingConfig().chunk_frames
VIDEO_FRAMES = 4 * CHUNK
# chunks after which bank, sink and window are full, by the default settings
FILLED = 9


@dataclass
class Bench:
    """Device and weights of a run.

    tiny     sizes that a CPU runs in seconds.
    without  names of attention backends to leave out.
    """

    device: torch.device
    tiny: bool = False
    without: Sequence[str] = ()
    _weights: Weights | None = field(default=None, repr=False)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def fuses_write(self) -> bool:
        """Whether RoPE and cache write may be one kernel here."""
        return self.on_gpu and runs_triton(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of weights and activations: bfloat16, as the model is published, and float32 on a CPU."""
        return torch.bfloat16 if self.on_gpu else torch.float32

    @property
    def size(self) -> Size:
        if not self.tiny:
            return SIZES["1.3b"]
        # what repeats is left out: two layers, a stream of 8 chunks
        size = SIZES["tiny"]
        return replace(size, model=replace(size.model, num_layers=2)).with_length(24)

    @property
    def fill(self) -> int:
        """Chunks before those that are measured."""
        return 2 if self.tiny else FILLED

    @property
    def read(self) -> ReadShape:
        """What a layer reads of a full memory, three frames of it with SMA."""
        memory = MemoryConfig()
        return ReadShape(
            batch=1,
            heads=self.size.model.num_heads,
            head_dim=self.size.model.head_dim,
            queries=CHUNK * self.size.shape.tokens,
            tokens=self.size.shape.tokens,
            memory=memory.sink_frames + memory.bank_slots,
            window=memory.window_frames,
            top_k=3,
        )

    @cached_property
    def backends(self) -> dict[str, AttentionBackend]:
        """Attention backends by name, torch's own choice first."""
        found = attention_backends(self.device, self.dtype)
        return {name: backend for name, backend in found.items() if name not in self.without}

    @cached_property
    def fastest(self) -> str:
        """Name of the attention backend that wins on this device."""
        name = fastest_attention(self.device, self.dtype, self.read)
        return name if name in self.backends else "torch"

    @property
    def weights(self) -> Weights:
        if self._weights is None:
            self._weights = Weights(self.size, self.device, self.dtype, 0, sdpa)
        return self._weights

    def stream(
        self,
        memory: MemoryConfig | None = None,
        *,
        backend: str | None = None,
        compiled: bool = False,
        shape: LatentShape | None = None,
        fused_write: bool = False,
    ):
        """Start a stream of random weights under the first prompt.

        backend      of attention, by name; None: the fastest.
        fused_write  RoPE and cache write in one kernel, which needs a GPU.
        """
        attention = self.backends[self.fastest if backend is None else backend]
        stream = make_stream(
            self.weights, memory or MemoryConfig(), attention=attention, compiled=compiled, shape=shape
        )
        stream.attention.rope_write = fused_rope_write if fused_write else None
        stream.set_prompt(self.weights.prompts[0])
        return stream

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def clean(self) -> None:
        """Give memory of finished streams back."""
        gc.collect()
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def forget(self) -> None:
        """Let the weights go."""
        self._weights = None
        self.clean()


def relative_error(ours: Tensor, truth: Tensor) -> float:
    """||ours - truth|| / ||truth||; NaN where there is one in either."""
    return float((ours.double() - truth.double()).norm() / truth.double().norm())
