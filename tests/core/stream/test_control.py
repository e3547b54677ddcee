"""Control of a stream: it steers what is made, and is in nothing that the stream remembers but by what it made."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, ControlBranch, WanControl, WanModel
from memflow_core.stream import ChunkControl, Stream
from tests.core.controls import CHANNELS, branch


class Given:
    """A source of random control for some chunks."""

    def __init__(self, strengths: dict[int, float], batch: int = 1):
        self.strengths, self.batch, self.asked = strengths, batch, []

    def of_chunk(self, index: int) -> ChunkControl | None:
        self.asked.append(index)
        if index not in self.strengths:
            return None
        numbers = torch.Generator().manual_seed(index)
        context = torch.randn(self.batch, CHANNELS, 3, 4, 6, generator=numbers)
        return ChunkControl(context, (self.strengths[index],) * 3)

    parts, steers = (), True

    def state_dict(self, index):  # noqa: ARG002
        return {}

    def load_state_dict(self, index, state):
        pass


@pytest.fixture
def controlled(backbone):
    return Backbone(backbone.tree, control=branch())


@pytest.fixture
def made(prompt):
    """made(backbone, source, chunks) -> (latents of each chunk, stream), with a switch at chunk 3."""

    def make(backbone, source=None, chunks=5, batch=1, **memory):
        stream = Stream(
            backbone,
            LatentShape(4, 6, batch),
            memory=MemoryConfig(**memory),
            sampling=SamplingConfig(steps=(1000, 500)),
            seed=5,
            frames=60,
        )
        stream.control = source
        stream.set_prompt(prompt(0, batch))
        latents = []
        for index in range(chunks):
            if index == 3:
                stream.set_prompt(prompt(1, batch))
            latents.append(next(stream).latents)
        return latents, stream

    return make


def same(ones, others):
    return [torch.equal(one, other) for one, other in zip(ones, others, strict=True)]


@pytest.mark.parametrize("memory", [{}, {"retrieval": "attention"}, {"top_k": 2}, {"retrieval": "reference"}])
def test_a_chunk_without_control_is_bit_equal_to_that_of_a_model_that_knows_none(backbone, controlled, made, memory):
    plain, _ = made(backbone, **memory)
    assert all(same(made(controlled, **memory)[0], plain))
    assert all(same(made(controlled, Given({}), **memory)[0], plain))
    # what comes before a controlled chunk is as it was, too
    assert same(made(controlled, Given({4: 1.0}), **memory)[0], plain) == [True] * 4 + [False]


def test_strength_0_is_no_control(controlled, made):
    assert all(same(made(controlled, Given(dict.fromkeys(range(5), 0.0)))[0], made(controlled)[0]))


def test_a_small_strength_changes_little_and_a_large_one_more(controlled, made):
    plain = made(controlled, chunks=1)[0][0]
    change = [(made(controlled, Given({0: s}), chunks=1)[0][0] - plain).abs().mean() for s in (0.01, 0.1, 1.0)]
    assert 0 < change[0] < change[1] < change[2]


def test_what_is_remembered_of_a_steered_chunk_is_that_of_its_latents_alone(controlled, made, prompt):
    latents, steered = made(controlled, Given({0: 1.0, 1: 1.0}), chunks=2)
    given = Stream(controlled, steered.shape, memory=steered.memory_config, sampling=steered.sampling, frames=60)
    given.set_prompt(prompt(0))
    for chunk in latents:
        given.prefill(chunk)
    for name, part in steered.cache.state_dict().tensors.items():
        assert torch.equal(part, given.cache.state_dict().tensors[name]), name


def test_a_source_is_asked_once_for_each_chunk_that_is_made(controlled, made):
    source = Given({1: 1.0})
    made(controlled, source, chunks=3)
    assert source.asked == [0, 1, 2]


def test_batch_items_are_steered_each_by_its_own(controlled, made):
    latents, _ = made(controlled, Given({0: 1.0}, batch=2), chunks=1, batch=2)
    assert not torch.allclose(latents[0][0], latents[0][1], atol=1e-3)


def test_each_latent_frame_has_its_strength(controlled, made):
    none, some, all_ = (
        made(controlled, OneChunk(strengths), chunks=1)[0][0]
        for strengths in ((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0))
    )
    assert not torch.allclose(none, some, atol=1e-3)
    assert not torch.allclose(some, all_, atol=1e-3)


class OneChunk(Given):
    def __init__(self, strengths):
        super().__init__({0: 1.0})
        self.each = strengths

    def of_chunk(self, index):
        return ChunkControl(super().of_chunk(index).context, self.each)


def test_control_without_control_weights_is_refused(backbone):
    stream = Stream(backbone, LatentShape(4, 6))
    with pytest.raises(ValueError, match="has no control weights"):
        stream.control = Given({})
    stream.control = None


@pytest.mark.parametrize(
    ("blocks", "width", "channels", "words"),
    [
        (3, 32, CHANNELS, "3 blocks, 32 wide"),
        (1, 64, CHANNELS, "1 blocks, 64 wide"),
        (1, 32, 36, "a control of 36 channels"),
    ],
)
def test_a_branch_of_another_size_is_refused_in_one_sentence(backbone, blocks, width, channels, words):
    config = ModelConfig(dim=width, num_heads=2, num_layers=2, ffn_dim=48, text_dim=8, freq_dim=16)
    with pytest.raises(ValueError, match=words) as refusal:
        Backbone(backbone.tree, control=WanControl(config, blocks, channels))
    assert "2 blocks, 32 wide" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("layers", "blocks", "at"), [(30, 15, range(0, 30, 2)), (40, 8, range(0, 40, 5))])
def test_a_hint_stands_behind_every_so_many_blocks(layers, blocks, at):
    config = ModelConfig(dim=8, num_heads=2, num_layers=layers, ffn_dim=4, text_dim=4)
    branch = Backbone(WanModel(config), control=WanControl(config, blocks, CHANNELS)).control
    assert isinstance(branch, ControlBranch)
    assert [layer for layer in range(layers) if branch.block_at(layer) is not None] == list(at)
    assert [branch.block_at(layer) for layer in at] == list(range(blocks))


def test_a_context_of_another_size_is_refused_before_the_model_runs(controlled, prompt):
    stream = Stream(controlled, LatentShape(6, 6), sampling=SamplingConfig(steps=(1000,)), frames=60)
    stream.set_prompt(prompt(0))
    stream.control = Given({0: 1.0})
    with pytest.raises(ValueError, match="the control has shape"):
        next(stream)
