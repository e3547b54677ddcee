from __future__ import annotations

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.stream import Stream

SMALL = ModelConfig(dim=32, num_heads=2, num_layers=2, ffn_dim=48, text_dim=8, freq_dim=16)


def _weights(tree: WanModel) -> WanModel:
    """Weights large enough that text, memory and position all show in the output."""
    generator = torch.Generator().manual_seed(11)
    for name, parameter in tree.named_parameters():
        if "norm" not in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim > 1 else 0.1)
    return tree.requires_grad_(False)


@pytest.fixture
def backbone() -> Backbone:
    return Backbone(_weights(WanModel(SMALL)))


@pytest.fixture
def prompt():
    """prompt(n) is an embedding [1, 6, 8] with two rows of padding; different n, different prompts."""

    def make(number: int, batch: int = 1) -> torch.Tensor:
        text = torch.randn(batch, 6, SMALL.text_dim, generator=torch.Generator().manual_seed(100 + number))
        text[:, 4:] = 0
        return text

    return make


@pytest.fixture
def make_stream(backbone):
    """make_stream(**settings of MemoryConfig): a small stream of 2 x 3 tokens a latent frame."""

    def make(
        steps: tuple[int, ...] = (1000, 500),
        seed: int = 5,
        batch: int = 1,
        frames: int | None = 100,
        on_forward=None,
        chunk_frames: int = 3,
        **memory,
    ) -> Stream:
        return Stream(
            backbone,
            LatentShape(4, 6, batch),
            memory=MemoryConfig(**memory),
            sampling=SamplingConfig(steps=steps, chunk_frames=chunk_frames),
            seed=seed,
            frames=frames,
            on_forward=on_forward,
        )

    return make


@pytest.fixture
def play():
    """play(stream, chunks, {chunk: (embedding, switch)}) -> the chunks."""

    def run(stream: Stream, chunks: int, prompts: dict) -> list:
        made = []
        for _ in range(chunks):
            index = stream.progress.chunk
            if index in prompts:
                stream.set_prompt(*prompts[index])
            made.append(next(stream))
        return made

    return run
