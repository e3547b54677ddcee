"""Training of the generator: samples with the memory that a stream would have, and the forward pass of a stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memflow_core.attention.memory_attention import activate
from memflow_core.config import LatentShape
from memflow_core.model import Backbone
from memflow_core.stream import Stream, denoising_timesteps
from training.cartoons import CHUNK_LATENTS as CHUNK
from training.cartoons import sample_story
from training.generator import (
    BANK,
    CONTEXT,
    NEWER,
    OLDER,
    PRESETS,
    SINK,
    EncodedStory,
    Generator,
    SampleBatch,
    SampleMix,
    Sampler,
    SparseActivation,
    encode_prompts,
    frame_mask,
    predict_flow,
    text_per_frame,
)
from training.train_generator import export, mean_weights, read_exported
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
        sampler.sample(rng, story, chunk) for story in range(STORIES) for chunk in range(sampler.tables[story].chunks)
    ]


def test_memory_holds_only_what_a_stream_would_have(samples):
    for sample in samples:
        start, held = sample.frames[CONTEXT], sample.frames[:CONTEXT][sample.valid]
        assert len(set(held)) == len(held), "a frame stands twice"
        assert (held < start).all()
        assert set(sample.frames[OLDER:CONTEXT][sample.valid[OLDER:]]) <= set(range(start - 6, start))
        bank = sample.frames[SINK:OLDER][sample.valid[SINK:OLDER]]
        assert ((bank >= CHUNK) & (bank < start - 6)).all()


def test_most_samples_have_a_bank_and_some_have_no_sink(samples):
    later = [sample for sample in samples if sample.frames[CONTEXT] > 30]
    filled = np.mean([sample.valid[SINK:OLDER].any() for sample in later])
    assert 0.6 < filled < 0.95
    assert 0.02 < np.mean([not sample.valid[:SINK].any() for sample in later]) < 0.25


def test_context_attends_to_what_it_did_when_it_was_written_and_copies_never_attend_to_one_another(samples):
    full = [sample for sample in samples if sample.valid.all() and not sample.joint]
    mask = frame_mask(SampleBatch.stack(full), copies=2)[0]
    eye = torch.eye(BANK, dtype=torch.bool)
    assert mask[SINK:OLDER, :SINK].all() and torch.equal(mask[SINK:OLDER, SINK:OLDER], eye)
    assert not mask[SINK:OLDER, OLDER:].any(), "a bank frame saw what came later"
    assert not mask[OLDER:NEWER, NEWER:].any()
    assert not mask[:CONTEXT, CONTEXT:].any(), "clean frames saw noise"
    one, other = slice(CONTEXT, CONTEXT + CHUNK), slice(CONTEXT + CHUNK, CONTEXT + 2 * CHUNK)
    assert mask[one, one].all() and not mask[one, other].any() and not mask[other, one].any()


def test_the_forward_of_training_is_the_forward_of_a_stream(generator, samples):
    """The second chunk of a story, whose context is the first alone."""
    latents = torch.randn(2, 1, 2 * CHUNK, 16, 8, 8)[0]
    text = encode_prompts(generator.text, ["a robot waves in the meadow"])
    calls = []

    class TeacherForced(Backbone):
        """Makes the first chunk arrive at the true latents."""

        def __call__(self, x, timesteps, text, attend):
            flow = super().__call__(x, timesteps, text, attend)
            calls.append((x, timesteps, flow))
            first_chunk = len(calls) <= len(denoising_timesteps(stream.sampling))
            return (x - latents[:, :CHUNK].movedim(1, 2)) / (timesteps / 1000) if first_chunk else flow

    stream = Stream(TeacherForced(generator.tree), LatentShape(8, 8), seed=3)
    stream.set_prompt(text)
    assert torch.allclose(next(stream).latents.movedim(1, 2), latents[:, :CHUNK], atol=1e-5)
    before = len(calls)
    next(stream)
    noisy, timesteps, flow = calls[before]

    sample = next(s for s in samples if s.frames[CONTEXT] == CHUNK and s.valid[:SINK].all())
    batch = SampleBatch.stack([sample])
    x = torch.zeros(1, CONTEXT + CHUNK, 16, 8, 8)
    x[:, :SINK], x[:, CONTEXT:] = latents[:, :CHUNK], noisy.movedim(1, 2)
    times = torch.zeros(1, CONTEXT + CHUNK)
    times[:, CONTEXT:] = timesteps
    frame_text = text_per_frame(generator.embed_text(text), torch.zeros(1, CONTEXT + CHUNK, dtype=torch.int64))
    dense = SparseActivation(torch.zeros(1, dtype=torch.bool), batch.valid[:, :OLDER], CONTEXT, CHUNK)
    positions = torch.from_numpy(sample.frames)[None]
    mask = frame_mask(batch, 1)
    trained, _ = predict_flow(
        generator, x, timesteps=times, positions=positions, mask=mask, text=frame_text, sparse=dense
    )
    assert torch.allclose(trained[:, CONTEXT:], flow.movedim(1, 2), atol=2e-4)


def test_sparse_samples_read_the_frames_that_activation_would(samples):
    full = [sample for sample in samples if sample.valid.all()][:2]
    batch, draw = SampleBatch.stack(full), torch.Generator().manual_seed(0)
    frames = CONTEXT + CHUNK
    q, mean_k = torch.randn(2, 2, frames, 4, 8, generator=draw), torch.randn(2, 2, frames, 8, generator=draw)
    sparse = SparseActivation(torch.tensor([True, False]), batch.valid[:, :OLDER], CONTEXT, CHUNK)
    mask = sparse.restrict(frame_mask(batch, 1), q, mean_k)
    chosen = activate(q[:, :, CONTEXT:].flatten(2, 3), mean_k[:, :, :OLDER], 3)
    for head in range(2):
        read = mask[0, head, CONTEXT:, :OLDER]
        assert all(row.nonzero().flatten().tolist() == chosen[0, head].tolist() for row in read)
    assert mask[1, :, CONTEXT:, :OLDER].all(), "a dense sample left frames out"
    assert mask[:, :, CONTEXT:, OLDER:].equal(frame_mask(batch, 1)[:, None, CONTEXT:, OLDER:].expand(-1, 2, -1, -1))


def test_prompts_are_embedded_together_as_one_by_one(generator):
    texts = ["an empty beach", "a robot and a cat meet in the snow", "the ghost leaves the city"]
    together = encode_prompts(generator.text, texts)
    for text, row in zip(texts, together, strict=True):
        assert torch.allclose(generator.text(generator.text.config.ids(text))[0], row, atol=1e-5)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path):
    def run() -> Trainer:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 4)
        adam = torch.optim.AdamW(model.parameters(), 0.1)
        clipped = list(model.parameters())
        return Trainer(SampleMix(), model, optimizers=[(adam, 0.1)], clipped=clipped, average_steps=10)

    def train(run: Trainer, steps: int) -> None:
        for _ in range(steps):
            torch.manual_seed(run.step)
            run.optimizer_step(run.model(torch.randn(8, 4)).square().mean(), 1.0)

    whole, first = run(), run()
    train(whole, 6)
    train(first, 3)
    first.save(tmp_path / "run.pt")
    second = run()
    second.load(tmp_path / "run.pt")
    train(second, 3)
    assert torch.equal(whole.average.weight, second.average.weight)
    assert second.step == 6


def test_the_mean_of_exported_models_is_a_model_between_them(tmp_path):
    models = [Generator(PRESETS["small"]) for _ in range(2)]
    for number, model in enumerate(models):
        export(model, tmp_path / str(number))
    mean = mean_weights([read_exported(tmp_path / str(number)) for number in range(len(models))])
    first, second = (model.state_dict() for model in models)
    assert mean.keys() == first.keys()
    for name, weight in mean.items():
        # exported as float16
        assert torch.allclose(weight, (first[name] + second[name]) / 2, atol=1e-3), name
