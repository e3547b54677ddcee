"""Sizes and variants that `benchmarks.stream` measures, and streams of them with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import AttentionBackend, Backbone, WanModel, sdpa
from memflow_core.stream import Stream

from .baseline import PlainStream

FPS = 16


@dataclass(frozen=True)
class Size:
    """Model and run: `prompts` of `text_length` tokens, one after another over `latent_frames`."""

    model: ModelConfig
    shape: LatentShape
    text_length: int
    latent_frames: int
    prompts: int

    @property
    def chunks(self) -> int:
        return self.latent_frames // SamplingConfig().chunk_frames

    @property
    def switches(self) -> list[int]:
        """Chunks at which a prompt begins."""
        return [number * self.chunks // self.prompts for number in range(self.prompts)]

    def with_length(self, latent_frames: int) -> Size:
        return replace(self, latent_frames=latent_frames)


SIZES = {
    "tiny": Size(ModelConfig(128, 1, 6, 512, text_dim=128), LatentShape(8, 8), 16, 120, 4),
    "medium": Size(ModelConfig(384, 6, 6, 1536, text_dim=256), LatentShape(20, 24), 128, 30, 2),
    "1.3b": Size(ModelConfig(1536, 12, 30, 8960, text_dim=4096), LatentShape(60, 104), 512, 240, 6),
}


@dataclass(frozen=True)
class Variant:
    """One way to make the same video.

    plain     by `PlainStream` instead of `Stream`.
    dtype     of weights and activations; None: that of the run.
    compiled  the steps around attention by torch.compile.
    """

    memory: MemoryConfig
    plain: bool = False
    dtype: torch.dtype | None = None
    compiled: bool = False


BASELINE, SAME_AS_BASELINE = "plain", "published memory"
PUBLISHED = MemoryConfig(retrieval="reference")
VARIANTS = {
    BASELINE: Variant(PUBLISHED, plain=True),
    SAME_AS_BASELINE: Variant(PUBLISHED),
    "plain, SMA": Variant(replace(PUBLISHED, top_k=3), plain=True),
    "published memory, SMA": Variant(replace(PUBLISHED, top_k=3)),
    "no memory": Variant(MemoryConfig(retrieval="none", sink_frames=0)),
    "sink": Variant(MemoryConfig(retrieval="none")),
    "bank": Variant(MemoryConfig()),
    "bank, SMA": Variant(MemoryConfig(top_k=3)),
    "bank, bfloat16": Variant(MemoryConfig(), dtype=torch.bfloat16),
    "bank, compiled": Variant(MemoryConfig(), compiled=True),
    "bank, SMA, compiled": Variant(MemoryConfig(top_k=3), compiled=True),
}
DEFAULT = "bank"


class Chunks(Protocol):
    """Stream to measure: `next()` makes a chunk."""

    def set_prompt(self, text: Tensor) -> None: ...

    def __next__(self) -> object: ...


class Weights:
    """Random weights of a size, once in each dtype; the same for every variant.

    attention  backend of all variants but the plain program, which leaves it to torch.
    prompts    random embeddings, [prompts, 1, text_length, text_dim].
    """

    def __init__(
        self, size: Size, device: torch.device, dtype: torch.dtype, seed: int = 0, attention: AttentionBackend = sdpa
    ):
        self.size = size
        self.device = device
        self.dtype = dtype
        self.seed = seed
        self.attention = attention
        torch.manual_seed(seed)
        with device:
            self._trees = {dtype: WanModel(size.model).to(dtype).requires_grad_(False)}
        self.prompts = torch.randn(size.prompts, 1, size.text_length, size.model.text_dim).to(device)

    def tree(self, dtype: torch.dtype | None) -> WanModel:
        """Return the model in a dtype; None: that of the run."""
        dtype = dtype or self.dtype
        if dtype not in self._trees:
            with self.device:
                tree = WanModel(self.size.model).to(dtype).requires_grad_(False)
            tree.load_state_dict(self._trees[self.dtype].state_dict())
            self._trees[dtype] = tree
        return self._trees[dtype]

    def stream(self, variant: Variant) -> Chunks:
        """Start a stream of a variant."""
        tree, shape, sampling = self.tree(variant.dtype), self.size.shape, SamplingConfig()
        if variant.plain:
            return PlainStream(tree, shape, variant.memory, sampling, self.seed)
        compiler = partial(torch.compile, dynamic=False) if variant.compiled else None
        dtype = variant.dtype or self.dtype
        backbone = Backbone(tree, dtype, attention=self.attention, reader="fastest", compiler=compiler)
        frames = self.size.latent_frames
        return Stream(
            backbone,
            shape,
            memory=variant.memory,
            sampling=sampling,
            seed=self.seed,
            frames=frames,
            device=self.device,
        )

    def turns(self) -> Iterator[tuple[int, Tensor | None]]:
        """Yield (chunk, the prompt that begins there or None), one after another."""
        for chunk in range(self.size.chunks):
            begins = chunk in self.size.switches
            yield chunk, self.prompts[self.size.switches.index(chunk)] if begins else None
