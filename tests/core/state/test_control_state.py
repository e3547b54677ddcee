"""Control in states: what its encoders carry is saved and goes on bit-equal, and is checked as all else is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from memflow_core.config import LatentShape, SamplingConfig
from memflow_core.model import Backbone
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import ControlTrack, Stream
from tests.core.controls import branch, span, track

NAMES = {"control.inactive.carry.00", "control.reactive.carry.00"}


@pytest.fixture
def model(backbone):
    return Backbone(backbone.tree, control=branch())


@pytest.fixture
def made(model, prompt):
    """made(source, chunks): a stream that has made so many chunks."""

    def make(source: ControlTrack | None, chunks: int) -> Stream:
        stream = Stream(model, LatentShape(4, 6), sampling=SamplingConfig(steps=(1000, 500)), seed=5, frames=60)
        stream.control = source
        stream.set_prompt(prompt(0))
        for _ in range(chunks):
            next(stream)
        return stream

    return make


def controls() -> ControlTrack:
    return track(span(0, 33), span(45, seed=2))


@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 5])
def test_a_resumed_story_under_control_is_bit_equal(made, model, tmp_path, chunks):
    stream = made(controls(), chunks)
    capture(stream).save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), model)
    again.control = controls()
    for _ in range(3):
        assert torch.equal(next(again).latents, next(stream).latents)


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_a_resumed_story_that_is_made_from_pictures_is_bit_equal(made, model, chunks):
    def source():
        return track(replace(span(0, strength=1.0), remake=True))

    stream = made(source(), chunks)
    state = capture(stream)
    assert {name for name in state.tensors if name.startswith("control.")} == {"control.remade.carry.00"}
    again = resume(state, model)
    again.control = source()
    assert torch.equal(next(again).latents, next(stream).latents)


def test_new_keys_are_there_only_where_control_is_carried_on(made):
    free = capture(made(None, 2))
    assert capture(made(track(span(33)), 2)).tensors.keys() == free.tensors.keys()
    steered = capture(made(controls(), 2))
    assert steered.tensors.keys() - free.tensors.keys() == NAMES
    assert steered.meta.keys() == free.meta.keys()
    # chunk 3 has none, so nothing goes on behind it
    assert not NAMES & capture(made(controls(), 4)).tensors.keys()


def test_a_compact_state_leaves_them_out(made, model):
    compact = capture(made(controls(), 2)).compact()
    assert not NAMES & compact.tensors.keys()
    again = resume(compact, model)
    again.control = controls()
    next(again)


def test_a_state_is_carried_by_a_stream_that_makes_nothing(made, model):
    state = capture(made(controls(), 2))
    again = capture(resume(state, model))
    assert all(torch.equal(again.tensors[name], state.tensors[name]) for name in NAMES)


# controls that go on from a state behind two chunks, at video frame 21, under `span(0, 33)`
OTHERS = {
    "other pictures": (span(0, 33, seed=2), False),
    "other pictures from the state on": (span(21, seed=2), True),
    "the same, longer": (span(0, 40), True),
    "the same, stronger": (span(0, 33, strength=2.0), True),
    "the same, later": (span(1, 33), False),
    "the same, with a mask": (span(0, 33, mask=torch.zeros(200, 32, 48)), False),
    "the same, to be remade": (replace(span(0, 33), remake=True), True),
    "one that has ended": (span(0, 12, seed=2), True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_control_that_had_other_pictures_before_is_refused(made, model, name):
    other, fits = OTHERS[name]
    again = resume(capture(made(controls(), 2)), model)
    if fits:
        again.control = track(other)
        return
    with pytest.raises(ValueError, match="made under another control: up to video frame 21, .* start at 21") as refusal:
        again.control = track(other)
    assert "\n" not in str(refusal.value)


def test_pictures_that_chunks_were_made_from_are_known_again(made, model):
    state = capture(made(track(replace(span(0), remake=True)), 2))
    resume(state, model).control = track(replace(span(0), remake=True))
    with pytest.raises(ValueError, match="another control"):
        resume(state, model).control = track(replace(span(0, seed=2), remake=True))


WRONG = {
    "a third encoder": ("control.other.carry.00", lambda t: t, "nothing is known of"),
    "a part without a number": ("control.reactive.carry", lambda t: t, "nothing is known of"),
    "a part that the other has not": ("control.reactive.carry.01", lambda t: t, "carry other parts"),
    "NaN": ("control.reactive.carry.00", lambda t: t * torch.nan, "NaN or infinity"),
    "infinity": ("control.inactive.carry.00", lambda t: t + torch.inf, "NaN or infinity"),
    "whole numbers": ("control.inactive.carry.00", lambda t: t.long(), "is torch.int64"),
    "no frames": ("control.inactive.carry.00", lambda t: t[:, :, :0], "has shape"),
    "flat": ("control.inactive.carry.00", lambda t: t.flatten(), "has shape"),
    "two videos": ("control.inactive.carry.00", lambda t: t.expand(2, -1, -1, -1, -1).clone(), "which is too much"),
    "more rows than the picture": ("control.inactive.carry.00", lambda _: torch.zeros(1, 3, 1, 33, 6), "too much"),
    "many frames": ("control.inactive.carry.00", lambda _: torch.zeros(1, 3, 99, 4, 6), "too much"),
    "another size than its twin": ("control.inactive.carry.00", lambda t: t[..., :2].clone(), "carry other parts"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_none_is_refused_in_one_sentence(made, tmp_path, name):
    tensor, change, words = WRONG[name]
    state = capture(made(controls(), 2))
    other = change(state.tensors["control.reactive.carry.00"])
    path = tmp_path / "state.safetensors"
    StreamState(state.tensors | {tensor: other}, state.meta).save(path)
    with pytest.raises(ValueError, match=words) as refusal:
        StreamState.load(path)
    assert str(refusal.value).startswith("state.safetensors cannot be continued")
    assert "\n" not in str(refusal.value)
