"""Settings that came after the first files: files without them go on, and others are checked as all else is."""

from __future__ import annotations

import copy

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream

LATER = {"memory": ("sink", "sink_decay", "shot_offset"), "sampling": ("first_steps", "solver", "refresh")}


@pytest.fixture
def stream(backbone, prompt):
    """stream(settings of the three): one that has made two chunks, the second by a jump."""

    def make(memory=MemoryConfig(), sampling=SamplingConfig(steps=(1000,)), shape=LatentShape(4, 6)) -> Stream:  # noqa: B008
        made = Stream(backbone, shape, memory=memory, sampling=sampling, seed=5, frames=90)
        made.set_prompt(prompt(0))
        next(made)
        made.set_prompt(prompt(1), "jump")
        next(made)
        return made

    return make


def test_a_usual_state_has_none_of_them(stream):
    meta = capture(stream()).meta
    assert all(name not in meta[part] for part, names in LATER.items() for name in names)
    assert meta["shape"] == {"rows": 4, "columns": 6, "batch": 1}


def test_another_state_keeps_them_and_goes_on(stream, backbone, tmp_path):
    memory = MemoryConfig(retrieval="fifo", sink="average", sink_decay=0.9, shot_offset=5)
    sampling = SamplingConfig(steps=(1000,), first_steps=(1000, 500), solver="unipc", chunk_frames=2)
    made = stream(memory, sampling, LatentShape(4, 6, pixels=16))
    capture(made).save(tmp_path / "state.safetensors")
    state = StreamState.load(tmp_path / "state.safetensors")
    assert (state.memory, state.sampling, state.shape) == (memory, sampling, LatentShape(4, 6, pixels=16))
    assert state.meta["jumps"] == [2]
    assert torch.equal(next(resume(state, backbone)).latents, next(made).latents)


WRONG = {
    "a sink of another kind": ("memory", "sink", "newest"),
    "a decay of words": ("memory", "sink_decay", "slow"),
    "a decay above 1": ("memory", "sink_decay", 2),
    "an offset below zero": ("memory", "shot_offset", -1),
    "an offset without end": ("memory", "shot_offset", 10**9),
    "first steps of words": ("sampling", "first_steps", "1000"),
    "first steps that rise": ("sampling", "first_steps", [500, 1000]),
    "first steps of fractions": ("sampling", "first_steps", [0.5]),
    "a solver of another name": ("sampling", "solver", "euler"),
    "a refresh of numbers": ("sampling", "refresh", 1),
    "a latent of no pixels": ("shape", "pixels", 0),
    "a latent of words": ("shape", "pixels", "many"),
    "jumps of words": ("jumps", None, ["late"]),
    "jumps that are no list": ("jumps", None, 3),
    "jumps that fall": ("jumps", None, [3, 2]),
    "a jump before the story": ("jumps", None, [0]),
    "a jump to come": ("jumps", None, [99]),
    "a setting of tomorrow": ("sampling", "tomorrow", 1),
}


@pytest.mark.parametrize("name", WRONG)
def test_values_that_are_none_are_refused_in_one_sentence(stream, tmp_path, name):
    part, key, value = WRONG[name]
    state = capture(stream())
    meta = copy.deepcopy(state.meta)
    if key is None:
        meta[part] = value
    else:
        meta[part][key] = value
    StreamState(state.tensors, meta).save(tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match=r"^state.safetensors cannot be continued: ") as error:
        StreamState.load(tmp_path / "state.safetensors")
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_compact_state_of_an_average_is_refused_when_it_is_read_too(stream, tmp_path):
    state = capture(stream()).compact()
    meta = {**state.meta, "memory": {**state.meta["memory"], "sink": "average", "positions": "relative"}}
    StreamState(state.tensors, {**meta, "positions": "relative"}).save(tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match="average"):
        StreamState.load(tmp_path / "state.safetensors")
