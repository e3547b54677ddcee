"""Contexts in training are those of a stream: the same keys, so the same prediction, chunk by chunk of a story."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig
from memflow_core.model import Backbone
from memflow_core.stream import Stream
from training.cartoons import CHUNK_LATENTS as CHUNK
from training.cartoons import story_from_prompts
from training.generator import (
    BANK,
    CONTEXT,
    OLDER,
    SINK,
    Context,
    EncodedStory,
    Generator,
    MemoryMix,
    SampleBatch,
    SampleMix,
    Sampler,
    encode_prompts,
    predict_flow,
    read_story,
    text_per_frame,
)

SCRIPT = (
    ("an empty beach", 3),
    ("a cat waves in the meadow", 4),
    ("a robot stands in the city", 4),
    ("the cat stands in the meadow", 3),
)
SIDE = 8
SEED = 10  # of a plan whose banks are full
AT_ONCE = SampleMix(sparse=0.0, far=0.0, compact=0.0)


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    chunks = sum(length for _, length in SCRIPT)
    return torch.randn(CHUNK * chunks, 16, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


class _Spy(Backbone):
    """Notes the flow of every denoising pass, and leads to given latents."""

    def __init__(self, tree):
        super().__init__(tree)
        self.flows: list[tuple[torch.Tensor, float, torch.Tensor]] = []
        self.target = torch.zeros(0)

    def __call__(self, x, timesteps, text, attend):
        flow = super().__call__(x, timesteps, text, attend)
        self.flows.append((x, timesteps, flow))
        return (x - self.target) / (timesteps / 1000)


def _first_steps(generator: Generator, latents: torch.Tensor, banks: list[list[int]], switch: str, mix: MemoryMix):
    """Stream the story with given banks. Returns x and flow of each chunk's first step, [F, C, h, w]."""
    # nothing but the pins below enters the bank: chunk 0 alone is recorded, and stands in the sink, or in every bank
    # that has a place left
    memory = MemoryConfig(
        retrieval="fifo" if any(banks) else "none",
        bank_frames=OLDER if mix.no_sink else BANK,
        bank_keys="alone" if mix.alone else "made",
        record_every=10_000,
        sink_frames=0 if mix.no_sink else SINK,
    )
    spy = _Spy(generator.tree)
    stream = Stream(spy, LatentShape(SIDE, SIDE), memory=memory, seed=3, frames=len(latents))
    pinned, found, chunk = {frame for bank in banks for frame in bank}, [], 0
    for (prompt, length), bank in zip(SCRIPT, banks, strict=True):
        names = [str(frame) for frame in bank]
        stream.set_prompt(encode_prompts(generator.text, [prompt]), switch=switch, recall=names)
        for _ in range(length):
            spy.target = latents[None, CHUNK * chunk : CHUNK * (chunk + 1)].movedim(1, 2)
            before = len(spy.flows)
            next(stream)
            found.append(tuple(x.movedim(1, 2)[0] for x in spy.flows[before][::2]))
            for frame in pinned & set(range(CHUNK * chunk, CHUNK * (chunk + 1))):
                stream.pin(frame, str(frame))
            chunk += 1
    return found


def _plan_with(mix: MemoryMix, seed: int):
    sampler = Sampler(AT_ONCE, mix)
    story = story_from_prompts(SCRIPT)
    sampler.add([EncodedStory(story, np.arange(CHUNK * story.chunks))])
    return sampler, sampler.plan(np.random.default_rng(seed), 0)


STREAMS = {
    "bank": MemoryMix(bank=(1.0, 0.0, 0.0), alone=0.0, recached=1.0, cut=0.0, renewed=0.0, no_sink=0.0),
    "alone": MemoryMix(bank=(1.0, 0.0, 0.0), alone=1.0, recached=1.0, cut=0.0, renewed=0.0, no_sink=0.0),
    "no sink": MemoryMix(bank=(0.0, 0.0, 0.0), alone=0.0, recached=1.0, cut=0.0, renewed=0.0, no_sink=1.0),
    "large bank": MemoryMix(bank=(1.0, 0.0, 0.0), alone=0.0, recached=1.0, cut=0.0, renewed=0.0, no_sink=1.0),
    "large, alone": MemoryMix(bank=(1.0, 0.0, 0.0), alone=1.0, recached=1.0, cut=0.0, renewed=0.0, no_sink=1.0),
    "soft": MemoryMix(bank=(1.0, 0.0, 0.0), alone=0.0, recached=0.0, cut=0.0, renewed=0.0, no_sink=0.0),
    "cuts": MemoryMix(bank=(0.0, 0.0, 0.0), alone=0.0, recached=1.0, cut=1.0, renewed=0.0, no_sink=0.0),
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_chunk_of_a_story_is_predicted_as_in_a_stream(generator, latents, name):
    mix = STREAMS[name]
    sampler, plan = _plan_with(mix, SEED)
    table = sampler.tables[0]
    held = slice(0 if mix.no_sink else SINK, OLDER)
    banks = [
        [plan.frames[row] for row in plan.context[start, held][plan.context_valid[start, held]]]
        for start in table.starts
    ]
    places = held.stop - held.start
    assert max(map(len, banks)) == (places if any(mix.bank) else 0), "the plan has no full bank to compare"
    switch = "cut" if mix.cut else "recache" if mix.recached else "soft"
    streamed = _first_steps(generator, latents, banks, switch, mix)

    prompts = sampler.prompts.texts
    text = generator.embed_text(encode_prompts(generator.text, prompts))
    rows = read_story(generator, plan, latents[plan.frames], text_per_frame(text, torch.tensor(plan.prompts)))
    for chunk, (noisy, flow) in enumerate(streamed):
        sample = sampler.sample_chunk(np.random.default_rng(0), 0, plan, chunk)
        batch = SampleBatch.stack([sample])
        context = Context(
            [inputs[batch.rows] for inputs in rows.inputs], batch.valid, batch.alone, batch.sparse, batch.positions
        )
        own = torch.cat((batch.prompts[:, SINK:OLDER], batch.prompts[:, CONTEXT:]), 1)
        predicted, _ = predict_flow(
            generator,
            rows.latents[batch.rows[:, SINK:OLDER]],
            noisy[None, None],
            torch.ones(1, 1),
            context=context,
            text=text_per_frame(text, own),
        )
        error = float((predicted[0, 0] - flow).abs().max())
        assert error < 5e-4, f"chunk {chunk}: {error}"
