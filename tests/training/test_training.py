"""Training of the generator: samples with the memory that a stream would have, and the forward pass of a stream."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from memflow_core.attention.memory_attention import activate
from training.cartoons import CHUNK_LATENTS as CHUNK
from training.cartoons import HELD_OUT_LOOKS, IDENTITIES, TRAINED_LOOKS, kind_of, sample_saga
from training.generator import (
    BANK,
    CONTEXT,
    OLDER,
    PRESETS,
    SINK,
    ChunkTable,
    Context,
    ContextAttention,
    EncodedStory,
    Generator,
    MemoryMix,
    PromptIndex,
    SampleMix,
    Sampler,
    encode_prompts,
    predict_flow,
    text_per_frame,
)
from training.train_generator import export, mean_weights, read_exported
from training.trainer import Trainer

STORIES = 12


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    sampler = Sampler(SampleMix(), MemoryMix())
    for seed in range(STORIES):
        story = sample_saga(seed)
        sampler.add([EncodedStory(story, np.arange(CHUNK * story.chunks))])
    return sampler


@pytest.fixture(scope="module")
def samples(sampler):
    rng = np.random.default_rng(1)
    return [
        sampler.sample_chunk(rng, story, plan, chunk)
        for story in range(STORIES)
        for plan in (sampler.plan(rng, story),)
        for chunk in range(sampler.tables[story].chunks)
    ]


def test_memory_holds_only_what_a_stream_would_have(samples):
    for sample in samples:
        start, held = sample.frames[CONTEXT], sample.frames[:CONTEXT][sample.valid]
        assert len(set(held)) == len(held), "a frame stands twice"
        assert (held < start).all()
        window = set(sample.frames[OLDER:CONTEXT][sample.valid[OLDER:]])
        assert window <= set(range(start - 6, start))
        older = sample.frames[:OLDER][sample.valid[:OLDER]]
        assert (older < min(window, default=start)).all(), "what the window still holds stands in sink or bank"


def test_most_samples_have_a_bank_and_some_have_no_sink(samples):
    later = [sample for sample in samples if sample.frames[CONTEXT] > 30]
    filled = np.mean([sample.valid[SINK:OLDER].any() for sample in later])
    assert 0.6 < filled < 0.95
    sinkless = np.mean([not {0, 1, 2} <= set(sample.frames[:SINK][sample.valid[:SINK]]) for sample in later])
    assert 0.3 < sinkless < 0.9
    assert 0.1 < np.mean([sample.valid[:OLDER].all() for sample in later]) < 0.9, "a full memory is what a stream has"


def test_rows_read_no_later_frame_and_those_read_alone_read_themselves(sampler):
    rng = np.random.default_rng(2)
    for story, table in enumerate(sampler.tables):
        plan = sampler.plan(rng, story)
        frames = np.array(plan.frames)
        made = range(CHUNK * table.chunks)
        for row in made:
            read = frames[plan.read[row][plan.read_valid[row]]]
            assert read.max() < row - row % CHUNK + CHUNK, "a context pass saw what came later"
        alone = plan.context[plan.alone, SINK:OLDER][plan.context_valid[plan.alone, SINK:OLDER]]
        for row in set(alone.tolist()):
            assert plan.read[row][plan.read_valid[row]].tolist() == [row]
        as_made = plan.context[~plan.alone, SINK:OLDER][plan.context_valid[~plan.alone, SINK:OLDER]]
        assert set(as_made.tolist()) <= set(made)


def test_two_of_a_kind_are_two_characters(sampler):
    prompts = PromptIndex()
    for seed in range(20):
        story = sample_saga(seed, "placed")
        table = ChunkTable(EncodedStory(story, np.arange(CHUNK * story.chunks)), prompts)
        casts = {segment.cast[0]: table.casts[segment.start_chunk] for segment in story.segments if segment.cast}
        assert len(set(casts.values())) == len(casts)
        twins = {name for name in casts if " of the " in name}
        assert len(twins) >= 2 and len({kind_of(name) for name in twins}) == 1
        assert len({table.kinds[s.start_chunk] for s in story.segments if s.cast and s.cast[0] in twins}) == 1


def test_those_who_meet_were_shown_alone_before():
    for seed in range(20):
        alone: set[str] = set()
        met = 0
        for segment in sample_saga(seed, "meet").segments:
            if len(segment.cast) == 2:
                assert set(segment.cast) <= alone and "meet" in segment.prompt
                met += 1
            alone |= set(segment.cast)
        assert met >= 2


def test_training_shows_no_look_that_is_held_out():
    looks = {look for seed in range(200) for look in sample_saga(seed).identities.values()}
    assert looks == set(TRAINED_LOOKS)
    assert len(HELD_OUT_LOOKS) >= 20
    for part in range(3):
        assert len({look[part] for look in HELD_OUT_LOOKS}) == len({look[part] for look in IDENTITIES})


def test_sparse_samples_read_the_frames_that_activation_would():
    draw = torch.Generator().manual_seed(0)
    q, mean_k = torch.randn(2, 2, 1, 12, 8, generator=draw), torch.randn(2, 2, CONTEXT, 8, generator=draw)
    valid = torch.ones(2, CONTEXT, dtype=torch.bool)
    flag = torch.tensor([True, False])
    context = Context([], valid, torch.zeros(2, dtype=torch.bool), flag, torch.zeros(2, CONTEXT + CHUNK))
    read = ContextAttention(None, context, None, [mean_k])._read(q)
    chosen = activate(q[:, :, 0], mean_k[:, :, :OLDER], 3)
    for head in range(2):
        assert read[0, head, 0, :OLDER].nonzero().flatten().tolist() == chosen[0, head].sort().values.tolist()
    assert read[1, :, :, :OLDER].all(), "a dense sample left frames out"
    assert read[..., OLDER:].all()


def test_a_bank_frame_that_is_read_alone_passes_on_gradients_and_others_do_not(generator):
    """What rows had seen is a constant, or the model would learn to pass looks on from key to key."""
    model = copy.deepcopy(generator).requires_grad_(True)
    layers, tokens = len(model.tree.blocks), 16
    inputs = [torch.randn(2, CONTEXT, tokens, 128, requires_grad=True) for _ in range(layers)]
    alone = torch.tensor([True, False])
    valid, dense = torch.ones(2, CONTEXT, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    context = Context(inputs, valid, alone, dense, torch.arange(CONTEXT + CHUNK).expand(2, -1))
    text = model.embed_text(encode_prompts(model.text, ["an empty beach"]))
    bank = torch.randn(2, BANK, 16, 8, 8, requires_grad=True)
    flow, _ = predict_flow(
        model,
        bank,
        torch.randn(2, 1, CHUNK, 16, 8, 8),
        torch.ones(2, 1),
        context=context,
        text=text_per_frame(text, torch.zeros(2, BANK + CHUNK, dtype=torch.int64)),
    )
    flow.square().mean().backward()
    assert bank.grad[0].abs().max() > 0 and not bank.grad[1].any()
    assert not inputs[0].grad[0, SINK:OLDER].any() and inputs[0].grad[1, SINK:OLDER].any()


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
