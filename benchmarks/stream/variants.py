"""Variants that `benchmarks.stream` compares, and streams of them with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import AttentionBackend, Backbone, WanModel, sdpa
from memflow_core.stream import Stream

from ..sizes import Size
from .baseline import PlainStream


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
        return make_stream(
            self, variant.memory, dtype=variant.dtype, attention=self.attention, compiled=variant.compiled
        )

    def turns(self) -> Iterator[tuple[int, Tensor | None]]:
        """Yield (chunk, the prompt that begins there or None), one after another."""
        for chunk in range(self.size.chunks):
            begins = chunk in self.size.switches
            yield chunk, self.prompts[self.size.switches.index(chunk)] if begins else None


def make_stream(
    weights: Weights,
    memory: MemoryConfig,
    *,
    dtype: torch.dtype | None = None,
    attention: AttentionBackend = sdpa,
    compiled: bool = False,
    shape: LatentShape | None = None,
) -> Stream:
    """Start a `Stream` of random weights, whose reader of sparse memory is the fastest.

    dtype  of weights and activations; None: that of the weights. shape: of the latents; None: that of the size.
    """
    compiler = partial(torch.compile, dynamic=False) if compiled else None
    tree = weights.tree(dtype)
    backbone = Backbone(tree, dtype or weights.dtype, attention=attention, reader="fastest", compiler=compiler)
    return Stream(
        backbone,
        shape or weights.size.shape,
        memory=memory,
        sampling=SamplingConfig(),
        seed=weights.seed,
        frames=weights.size.latent_frames,
        device=weights.device,
    )
