"""Layers that read the bank: the others see sink and window alone, whatever the bank holds in them."""

from __future__ import annotations

import json

import pytest
import torch

from memflow_core.attention import AttentionShareMeter
from memflow_core.config import MemoryConfig
from memflow_core.state import StreamState, capture, resume
from memflow_core.state.validate import check_state

BANK = {"record_every": 1, "bank_frames": 2, "sink_frames": 3, "window_frames": 6}
CHUNKS = 6  # after which the bank is full


def next_latents(stream, backbone, layer: int | None = None) -> torch.Tensor:
    """The next chunk of a copy of a stream, whose bank is overwritten in one layer first."""
    copy = resume(capture(stream), backbone)
    if layer is not None:
        slots = copy.memory.bank.filled()
        copy.cache.v[layer, :, :, slots] = 50.0
    return next(copy).latents


@pytest.fixture
def started(make_stream, play, prompt):
    """started(**settings): a stream with a full bank."""

    def make(**settings):
        stream = make_stream(**BANK, **settings)
        play(stream, CHUNKS, {0: (prompt(1),), 3: (prompt(2),)})
        assert stream.cache.layout.bank == 2
        return stream

    return make


@pytest.mark.parametrize("more", [{}, {"top_k": 2}, {"positions": "relative"}, {"cache": "fp8"}])
def test_naming_every_layer_changes_nothing(started, more):
    usual, named = started(**more), started(**more, bank_layers=(0, 1))
    assert torch.equal(usual.progress.recent[-1], named.progress.recent[-1])
    assert usual.trace.records == named.trace.records


@pytest.mark.parametrize("reads", [0, 1])
@pytest.mark.parametrize("more", [{}, {"top_k": 3}, {"positions": "relative"}])
def test_only_named_layers_read_the_bank(started, backbone, reads, more):
    stream = started(bank_layers=(reads,), **more)
    clean = next_latents(stream, backbone)
    assert torch.equal(clean, next_latents(stream, backbone, layer=1 - reads))
    assert not torch.allclose(clean, next_latents(stream, backbone, layer=reads), atol=1e-2)


def test_the_bank_is_kept_in_every_layer_by_the_same_rule(started):
    usual, named = started(), started(bank_layers=(1,))
    for stream in (usual, named):
        assert stream.memory.bank.listed_frames().shape == (2, 1, 2)
    entered = [
        [(r["chunk"], r["candidate"]) for r in stream.trace.records if r["event"] == "retrieve"]
        for stream in (usual, named)
    ]
    assert entered[0] == entered[1] != []


def test_its_share_of_attention_is_of_the_layers_that_read_it(started):
    shares = {}
    for layers in (None, (0,), (1,)):
        stream = started(bank_layers=layers)
        stream.meter = AttentionShareMeter()
        shares[layers] = next(record for record in next(stream).trace if record["event"] == "share")
    for share in shares.values():
        assert share["sink"] + share["bank"] + share["window"] == pytest.approx(1, abs=1e-5)
    assert 0 < shares[(0,)]["bank"] < shares[None]["bank"]
    assert 0 < shares[(1,)]["bank"] < shares[None]["bank"]


def test_sparse_activation_in_a_layer_without_the_bank_chooses_from_the_sink(started):
    stream = started(bank_layers=(1,), top_k=2)
    record = next(record for record in next(stream).trace if record["event"] == "activate")
    counts = dict(map(tuple, record["frames"]))
    heads, read = stream.cache.k.shape[2], 2
    assert sum(counts.values()) == 2 * heads * read
    # those of the layer that reads no bank, and of the other one what it likes
    assert sum(count for frame, count in counts.items() if frame in {0, 1, 2}) >= heads * read


def test_a_state_goes_on_with_them_and_files_without_them_are_as_before(started, backbone, tmp_path):
    stream = started(bank_layers=(1,))
    capture(stream).save(tmp_path / "state.safetensors")
    again = StreamState.load(tmp_path / "state.safetensors")
    assert again.memory.bank_layers == (1,)
    assert torch.equal(next(resume(again, backbone)).latents, next(stream).latents)
    assert "bank_layers" not in capture(started()).meta["memory"]
    json.dumps(again.meta)


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ([2], "has layers 0 to 1"),
        ([1, 0], "once, in order"),
        ([], "no layer reads"),
        ("0", "its bank_layers are"),
        ([True], "a layer of memory bank_layers"),
    ],
)
def test_a_state_with_other_layers_is_refused(started, backbone, layers, problem):
    state = capture(started(bank_layers=(1,)))
    state.meta["memory"]["bank_layers"] = layers
    with pytest.raises(ValueError, match=problem):
        check_state(state.tensors, state.meta)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"bank_layers": (1, 0)}, "must name each layer once, in order"),
        ({"bank_layers": (0, 0)}, "must name each layer once, in order"),
        ({"bank_layers": (-1,)}, "at least 0"),
        ({"bank_layers": ()}, "name at least one"),
        ({"bank_layers": (0,), "retrieval": "none"}, "retrieval 'none'"),
        ({"bank_layers": (0,), "bank_frames": 0}, "retrieval 'none'"),
        ({"bank_layers": (0,), "retrieval": "reference"}, "published code's very numbers"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        MemoryConfig(**settings)


def test_layers_that_the_model_has_not_are_named(make_stream):
    with pytest.raises(ValueError, match="names layer 7, but the model has layers 0 to 1"):
        make_stream(bank_layers=(0, 7))
