"""A story of the bundled model as a job for several processes: chunks, states, and what cannot be played."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.parallel import ParallelError, StreamJob, run
from memflow_core.play import EncodedSchedule, play
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.state import StreamState
from memflow_core.stream import Chunk, Stream
from memflow_core.weights import ASSETS, TINY_GENERATOR, load_tiny_generator, load_tiny_text_encoder

CHUNKS = 5


@pytest.fixture(scope="module")
def job() -> StreamJob:
    schedule, text = read_schedule("0s: a robot walks in the meadow\n1.5s: an empty beach"), load_tiny_text_encoder()
    plan = schedule.place(ChunkGrid(fps=16), length=Time(CHUNKS, "chunks"))
    return StreamJob(
        ASSETS / TINY_GENERATOR,
        EncodedSchedule(schedule, plan, [text.encode(prompt) for prompt in schedule.full_prompts()]),
        LatentShape(8, 8),
        memory=MemoryConfig(record_every=1),
        sampling=SamplingConfig(steps=(1000, 500)),
        seed=7,
        keep_every=2,
    )


@pytest.fixture(scope="module")
def expected(job) -> torch.Tensor:
    """Latents of the story in this process."""
    stream = Stream(
        load_tiny_generator(), job.shape, memory=job.memory, sampling=job.sampling, seed=7, frames=3 * CHUNKS
    )
    return torch.cat([chunk.latents for chunk in play(stream, job.prompts, 7)], dim=2)


@pytest.mark.slow
def test_a_job_makes_the_story_and_its_states_and_goes_on_from_them(job, expected):
    made = list(run(job, processes=2))
    kinds = [type(item) for item in made]
    assert kinds == [Chunk, Chunk, StreamState, Chunk, Chunk, StreamState, Chunk]
    latents = torch.cat([item.latents for item in made if isinstance(item, Chunk)], dim=2)
    assert (latents - expected).abs().max() <= 1e-4 * expected.abs().max()
    state = made[2]
    assert state.chunks == 2
    rest = list(run(replace(job, state=state, keep_every=None), processes=2))
    assert [chunk.index for chunk in rest] == [2, 3, 4]
    assert torch.equal(torch.cat([chunk.latents for chunk in rest], dim=2), latents[:, :, 6:])


@pytest.mark.slow
def test_what_cannot_be_played_is_one_sentence(job, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(ParallelError, match=r"^process \d of 2 failed: broken\.safetensors [^\n]+$"):
        list(run(replace(job, model=tmp_path / "broken.safetensors"), processes=2))


@pytest.mark.parametrize("keep_every", [0, -1, True, 1.5])
def test_a_wrong_interval_is_refused(job, keep_every):
    with pytest.raises(ValueError, match="keep_every is .*, but must be a whole number of at least 1, or None"):
        replace(job, keep_every=keep_every)
