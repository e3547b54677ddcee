"""Weights that change with the prompt: a segment is made with its own, in a state too."""

from __future__ import annotations

import copy

import pytest
import torch

from memflow_core.model import Backbone
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import EncodedImages, InitialFrames, load_initial_frames


class Scaled:
    """Sets of weights: a name such as "x 1.5" scales the matrices of self- and cross-attention."""

    def __init__(self, tree):
        self.tree = tree
        self.own = {name: value.clone() for name, value in tree.state_dict().items()}
        self.selected = []

    def select(self, name: str) -> None:
        self.selected.append(name)
        factor = float(name.removeprefix("x ")) if name else 1.0
        scaled = {
            key: value * factor if key.endswith((".q.weight", ".v.weight", "modulation")) else value
            for key, value in self.own.items()
        }
        self.tree.load_state_dict(scaled)


@pytest.fixture
def stream_of(make_stream, backbone):
    """stream_of(weights or None): a stream over a tree with sets of weights, or with one of them for good."""

    def make(fixed: str | None = None, **memory):
        tree = copy.deepcopy(backbone.tree)
        sets = Scaled(tree)
        if fixed is not None:
            sets.select(fixed)
        stream = make_stream(**memory)
        stream.backbone = Backbone(tree, weights=sets if fixed is None else None)
        return stream

    return make


def latents(chunks) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks], dim=2)


def run(stream, chunks: int) -> torch.Tensor:
    return latents([next(stream) for _ in range(chunks)])


def test_weights_of_the_first_prompt_are_those_of_the_model(stream_of, prompt):
    made = stream_of()
    made.set_prompt(prompt(0), weights="x 1.5")
    hooked = run(made, 3)
    plain = stream_of("")
    plain.set_prompt(prompt(0))
    assert not torch.equal(hooked, run(plain, 3))
    fixed = stream_of("x 1.5")
    fixed.set_prompt(prompt(0))
    assert torch.equal(hooked, run(fixed, 3))


def test_a_segment_has_its_own_weights_and_is_recached_with_them(stream_of, prompt):
    made, plain = stream_of(), stream_of()
    for stream, weights in ((made, "x 1.5"), (plain, "")):
        stream.set_prompt(prompt(0))
        first = run(stream, 2)
        stream.set_prompt(prompt(1), weights=weights)
        second = run(stream, 2)
        stream.set_prompt(prompt(0))
        run(stream, 2)
        if stream is made:
            kept = first, second
            # once at each edge, the recache included
            assert stream.backbone._weight_sets.selected == ["x 1.5", ""]
    assert torch.equal(kept[0], first) and not torch.equal(kept[1], second)


@pytest.mark.parametrize("content", ["exact", "compact"])
def test_a_state_goes_on_with_its_weights(stream_of, prompt, content, tmp_path):
    """The window and the bank hold keys of both sets."""
    streams = [stream_of(record_every=1) for _ in range(2)]
    for stream in streams:
        stream.set_prompt(prompt(0))
        run(stream, 2)
        stream.set_prompt(prompt(1), "soft", weights="x 1.5")
        run(stream, 1)
    whole, broken = streams
    state = capture(broken)
    assert state.weights == {"x 1.5"}
    (state if content == "exact" else state.compact()).save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), broken.backbone)
    expected, found = run(whole, 2), run(again, 2)
    if content == "exact":
        assert torch.equal(expected, found)
    else:
        assert (expected - found).abs().max() < 0.2 * expected.abs().max()
    assert again.prompt.weights == "x 1.5"


def test_a_compact_state_makes_each_key_with_the_weights_it_had(stream_of, prompt):
    stream = stream_of(retrieval="none")
    stream.set_prompt(prompt(0))
    run(stream, 2)
    stream.set_prompt(prompt(1), "soft", weights="x 1.5")
    run(stream, 1)
    state = capture(stream).compact()
    sets = stream.backbone._weight_sets
    sets.selected.clear()
    run(resume(state, stream.backbone), 1)
    assert sets.selected == ["", "x 1.5"]


def test_a_state_without_weights_names_none(stream_of, prompt):
    """It is, byte for byte, what older versions of the pack read."""
    stream = stream_of()
    stream.set_prompt(prompt(0))
    run(stream, 1)
    stream.set_prompt(prompt(1))
    meta = capture(stream).meta
    assert "weights" not in meta and "weights" not in meta["next"]
    assert not any("weights" in write for write in meta["ledger"]["writes"])


def test_pictures_are_read_with_the_models_own(stream_of, prompt):
    stream = stream_of()
    stream.set_prompt(prompt(0), weights="x 1.5")
    pictures = EncodedImages(torch.randn(1, 16, 1, 4, 6), prompt(2))
    run(stream, 1)
    load_initial_frames(stream, InitialFrames(remembered=(pictures,)))
    run(stream, 1)
    assert stream.backbone._weight_sets.selected == ["x 1.5", "", "x 1.5"]


def test_a_state_with_a_strange_name_is_refused(stream_of, prompt, tmp_path):
    stream = stream_of()
    stream.set_prompt(prompt(0), weights="x 1.5")
    run(stream, 1)
    state = capture(stream)
    StreamState(state.tensors, {**state.meta, "weights": 7}).save(tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match="its weights are called"):
        StreamState.load(tmp_path / "state.safetensors")
