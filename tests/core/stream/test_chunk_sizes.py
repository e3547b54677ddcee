"""Streams of 1, 3 and 8 latent frames a chunk, under every memory: cuts, jumps, pins, states, first steps."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import RETRIEVALS, MemoryConfig, SamplingConfig
from memflow_core.state import StreamState, capture, resume

CHUNKS = (1, 3, 8)
MEMORIES = {
    "reference": {"bank_frames": 3},
    "shots": {},
    "none": {"bank_frames": 0},
}


def memory(retrieval: str, chunk: int) -> dict:
    """Settings of a small memory for a chunk size, window and sink in whole chunks."""
    settings = {"retrieval": retrieval, "sink_frames": chunk, "window_frames": 2 * chunk, "bank_frames": 2}
    settings |= {"record_every": 1} | MEMORIES.get(retrieval, {})
    return settings | ({"bank_frames": chunk} if retrieval == "shots" else {})


STORY = {0: (0, "recache"), 3: (1, "recache"), 4: (2, "cut"), 6: (3, "soft"), 7: (4, "jump")}


def make(make_stream, prompt, play, retrieval: str, chunk: int, chunks: int = 9, **more):
    prompts = {at: (prompt(number), switch) for at, (number, switch) in STORY.items()}
    stream = make_stream(chunk_frames=chunk, **memory(retrieval, chunk), **more)
    return stream, play(stream, chunks, prompts)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_a_story_with_every_join_plays_under_every_memory(make_stream, prompt, play, retrieval, chunk):
    stream, made = make(make_stream, prompt, play, retrieval, chunk)
    assert [one.start for one in made] == [chunk * number for number in range(9)]
    assert all(one.latents.shape[2] == chunk and bool(torch.isfinite(one.latents).all()) for one in made)
    assert stream.cache.layout.end == 9 * chunk and stream.cache.layout.jumps == (7 * chunk,)


@pytest.mark.parametrize("positions", ["absolute", "relative"])
@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("retrieval", [name for name in RETRIEVALS if name != "attention"])
def test_an_exact_state_goes_on_bit_by_bit(make_stream, prompt, play, backbone, tmp_path, retrieval, chunk, positions):
    whole, made = make(make_stream, prompt, play, retrieval, chunk, positions=positions)
    stream, _ = make(make_stream, prompt, play, retrieval, chunk, chunks=8, positions=positions)
    capture(stream).save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    assert torch.equal(next(again).latents, made[8].latents)
    assert torch.equal(again.cache.frames, whole.cache.frames)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("retrieval", ["prompt", "fifo", "shots", "none"])
def test_a_compact_state_goes_on_with_the_same_frames(make_stream, prompt, play, backbone, tmp_path, retrieval, chunk):
    whole, made = make(make_stream, prompt, play, retrieval, chunk)
    stream, _ = make(make_stream, prompt, play, retrieval, chunk, chunks=8)
    capture(stream).compact().save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    latents = next(again).latents
    assert torch.equal(again.cache.frames, whole.cache.frames)
    assert torch.nn.functional.cosine_similarity(latents.flatten(), made[8].latents.flatten(), dim=0) > 0.95


@pytest.mark.parametrize("chunk", CHUNKS)
def test_pins_hold_and_come_back(make_stream, prompt, play, chunk):
    stream = make_stream(chunk_frames=chunk, **memory("prompt", chunk))
    play(stream, 1, {0: (prompt(0), "recache")})
    stream.pin(chunk - 1, "hero")
    play(stream, 6, {})
    stream.set_prompt(prompt(1), "cut", recall=("hero",))
    play(stream, 2, {})
    assert bool((stream.memory.bank.listed_frames() == chunk - 1).any(dim=-1).all())


@pytest.mark.parametrize("chunk", CHUNKS)
def test_the_first_chunk_can_have_steps_of_its_own(backbone, make_stream, prompt, play, chunk):
    passes = []

    def steps_of(**sampling) -> tuple[list[int], torch.Tensor]:
        stream = make_stream(chunk_frames=chunk, **memory("prompt", chunk))
        stream.__init__(
            backbone,
            stream.shape,
            memory=stream.memory_config,
            sampling=SamplingConfig(chunk_frames=chunk, **sampling),
            seed=5,
            frames=100,
            on_forward=passes.append,
        )
        passes.clear()
        made = play(stream, 3, {0: (prompt(0), "recache")})
        return [sum(f.kind == "denoise" for f in one.forwards) for one in made], made[0].latents

    few, _ = steps_of(steps=(1000,))
    own, first = steps_of(steps=(1000,), first_steps=(1000, 750, 500, 250))
    _, same = steps_of(steps=(1000, 750, 500, 250))
    assert few == [1, 1, 1] and own == [4, 1, 1]
    assert torch.equal(first, same)


def test_a_window_smaller_than_a_chunk_is_refused(make_stream):
    with pytest.raises(ValueError, match="one chunk has 8 latent frames"):
        make_stream(chunk_frames=8, window_frames=6)
    with pytest.raises(ValueError, match="set bank_frames to 8"):
        make_stream(chunk_frames=8, retrieval="shots", window_frames=16, sink_frames=8, bank_frames=3)
    with pytest.raises(ValueError, match="positions"):
        MemoryConfig(sink="average", positions="absolute")
