"""The generator as it is trained: samples with the memory that a stream would have, and the stream's own forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memflow_core.attention.memory_attention import activate
from memflow_core.config import LatentShape
from memflow_core.model import Backbone
from memflow_core.stream import Stream, denoising_timesteps
from training.cartoons.story import sample_story
from training.generator.latents import CHUNK, EncodedStory
from training.generator.model import PRESETS, Generator, SparseActivation, encode_prompts, predict_flow, text_per_frame
from training.generator.samples import BANK, CONTEXT, NEWER, OLDER, SINK, SampleBatch, SampleMix, Sampler, frame_mask
from training.train_generator import export, exported, mean_of
from training.trainer import Trainer

STORIES = 12


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    sampler = Sampler(SampleMix())
    for seed in range(STORIES):
        story = sample_story(seed)
        sampler.add([EncodedStory(story, np.arange(CHUNK * story.chunks))])
    return sampler


@pytest.fixture(scope="module")
def generator() -> Generator:
    """Random weights everywhere, so that no layer is without effect."""
    torch.manual_seed(5)
    generator = Generator(PRESETS["small"])
    with torch.no_grad():
        for weight in generator.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return generator.requires_grad_(False)


@pytest.fixture(scope="module")
def samples(sampler):
    rng = np.random.default_rng(1)
    return [
        sampler.sample(rng, tale, chunk) for tale in range(STORIES) for chunk in range(sampler.chapters[tale].chunks)
    ]


def test_memory_holds_only_what_a_stream_would_have(samples):
    for sample in samples:
        start, held = sample.frames[CONTEXT], sample.frames[:CONTEXT][sample.valid]
        assert len(set(held)) == len(held), "a frame stands twice"
        assert (held < start).all()
        assert set(sample.frames[OLDER:CONTEXT][sample.valid[OLDER:]]) <= set(range(start - 6, start))
        bank = sample.frames[SINK:OLDER][sample.valid[SINK:OLDER]]
        assert ((bank >= CHUNK) & (bank < start - 6)).all()


def test_most_samples_remember_and_some_have_to_do_without(samples):
    later = [sample for sample in samples if sample.frames[CONTEXT] > 30]
    filled = np.mean([sample.valid[SINK:OLDER].any() for sample in later])
    assert 0.6 < filled < 0.95
    assert 0.02 < np.mean([not sample.valid[:SINK].any() for sample in later]) < 0.25


def test_context_sees_what_it_saw_when_it_was_written_and_copies_see_one_another_never(samples):
    full = [sample for sample in samples if sample.valid.all() and not sample.joint]
    mask = frame_mask(SampleBatch.of(full), copies=2)[0]
    eye = torch.eye(BANK, dtype=torch.bool)
    assert mask[SINK:OLDER, :SINK].all() and torch.equal(mask[SINK:OLDER, SINK:OLDER], eye)
    assert not mask[SINK:OLDER, OLDER:].any(), "a bank frame saw what came later"
    assert not mask[OLDER:NEWER, NEWER:].any()
    assert not mask[:CONTEXT, CONTEXT:].any(), "clean frames saw noise"
    one, other = slice(CONTEXT, CONTEXT + CHUNK), slice(CONTEXT + CHUNK, CONTEXT + 2 * CHUNK)
    assert mask[one, one].all() and not mask[one, other].any() and not mask[other, one].any()


def test_a_trained_forward_is_the_streams(generator, samples, sampler):
    """The second chunk of a story, whose context is the first alone."""
    latents, noise = torch.randn(2, 1, 2 * CHUNK, 16, 8, 8)
    text = encode_prompts(generator.text, ["a robot waves in the meadow"])
    backbone, asked = Backbone(generator.tree), []

    def told(x, timesteps, keys, attend):
        flow = Backbone.__call__(backbone, x, timesteps, keys, attend)
        asked.append((x, timesteps, flow))
        # arrive at the given latents
        now = len(asked) <= len(denoising_timesteps(stream.sampling))
        return (x - latents[:, :CHUNK].movedim(1, 2)) / (timesteps / 1000) if now else flow

    class Told(Backbone):
        __call__ = staticmethod(told)

    stream = Stream(Told(generator.tree), LatentShape(8, 8), noise=3)
    stream.set_prompt(text)
    assert torch.allclose(next(stream).latents.movedim(1, 2), latents[:, :CHUNK], atol=1e-5)
    asked_before = len(asked)
    next(stream)
    noisy, timesteps, flow = asked[asked_before]

    sample = next(s for s in samples if s.frames[CONTEXT] == CHUNK and s.valid[:SINK].all())
    batch = SampleBatch.of([sample])
    x = torch.zeros(1, CONTEXT + CHUNK, 16, 8, 8)
    x[:, :SINK], x[:, CONTEXT:] = latents[:, :CHUNK], noisy.movedim(1, 2)
    times = torch.zeros(1, CONTEXT + CHUNK)
    times[:, CONTEXT:] = timesteps
    text_of = text_per_frame(generator.embed_text(text), torch.zeros(1, CONTEXT + CHUNK, dtype=torch.int64))
    dense = SparseActivation(torch.zeros(1, dtype=torch.bool), batch.valid[:, :OLDER], CONTEXT, CHUNK)
    positions = torch.from_numpy(sample.frames)[None]
    trained, _ = predict_flow(generator, x, times, positions, frame_mask(batch, 1), text_of, dense)
    assert torch.allclose(trained[:, CONTEXT:], flow.movedim(1, 2), atol=2e-4)


def test_sparse_samples_read_the_frames_that_activation_would(samples):
    full = [sample for sample in samples if sample.valid.all()][:2]
    batch, draw = SampleBatch.of(full), torch.Generator().manual_seed(0)
    frames = CONTEXT + CHUNK
    q, mean_k = torch.randn(2, 2, frames, 4, 8, generator=draw), torch.randn(2, 2, frames, 8, generator=draw)
    sparse = SparseActivation(torch.tensor([True, False]), batch.valid[:, :OLDER], CONTEXT, CHUNK)
    mask = sparse.apply(frame_mask(batch, 1), q, mean_k)
    chosen = activate(q[:, :, CONTEXT:].flatten(2, 3), mean_k[:, :, :OLDER], 3)
    for head in range(2):
        read = mask[0, head, CONTEXT:, :OLDER]
        assert all(row.nonzero().flatten().tolist() == chosen[0, head].tolist() for row in read)
    assert mask[1, :, CONTEXT:, :OLDER].all(), "a dense sample left frames out"
    assert mask[:, :, CONTEXT:, OLDER:].equal(frame_mask(batch, 1)[:, None, CONTEXT:, OLDER:].expand(-1, 2, -1, -1))


def test_prompts_together_read_as_one_by_one(generator):
    texts = ["an empty beach", "a robot and a cat meet in the snow", "the ghost leaves the city"]
    together = encode_prompts(generator.text, texts)
    for text, row in zip(texts, together, strict=True):
        assert torch.allclose(generator.text(generator.text.config.ids(text))[0], row, atol=1e-5)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path):
    def run() -> Trainer:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 4)
        adam = torch.optim.AdamW(model.parameters(), 0.1)
        return Trainer(SampleMix(), model, [(adam, 0.1)], list(model.parameters()), memory=10)

    def learn(run: Trainer, steps: int) -> None:
        for _ in range(steps):
            torch.manual_seed(run.step)
            run.optimizer_step(run.model(torch.randn(8, 4)).square().mean(), 1.0)

    whole, first = run(), run()
    learn(whole, 6)
    learn(first, 3)
    first.save(tmp_path / "run.pt")
    second = run()
    second.load(tmp_path / "run.pt")
    learn(second, 3)
    assert torch.equal(whole.average.weight, second.average.weight)
    assert second.step == 6


def test_the_mean_of_exported_models_is_a_model_between_them(tmp_path):
    models = [Generator(PRESETS["small"]) for _ in range(2)]
    for number, model in enumerate(models):
        export(model, tmp_path / str(number))
    mean = mean_of([exported(tmp_path / str(number)) for number in range(len(models))])
    first, second = (model.state_dict() for model in models)
    assert mean.keys() == first.keys()
    for name, weight in mean.items():
        # exported as float16
        assert torch.allclose(weight, (first[name] + second[name]) / 2, atol=1e-3), name
