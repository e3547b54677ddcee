"""Kept state files: what people saved with earlier code goes on, under today's code, to the numbers it went on to then.

How the files were made, and why they are not made anew: tests/golden/kept/make.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from memflow_core.config import ModelConfig
from memflow_core.model import Backbone, WanControl, WanModel
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream
from tests.core.controls import CHANNELS, KEPT_CONTROLS

KEPT = Path(__file__).resolve().parents[2] / "golden" / "kept" / "core"
CASES = ("story", "waiting", "reference", "attention", "fp8", *KEPT_CONTROLS)
STATES = [f"{case}.{content}" for case in CASES for content in ("exact", "compact")]
NEAR = {"rtol": 1e-5, "atol": 1e-5}

every_state = pytest.mark.parametrize("name", STATES)


def header(file: Path) -> dict:
    """What a file's header holds, each value read from JSON."""
    with safe_open(file, framework="pt") as opened:
        return {key: json.loads(value) for key, value in opened.metadata().items()}


def state(name: str) -> StreamState:
    return StreamState.load(KEPT / f"{name}.safetensors")


@pytest.fixture(scope="module")
def model() -> Backbone:
    """The model that the streams were made with, and the control branch of those that were steered."""
    file = KEPT / "model.safetensors"
    config = ModelConfig(**header(file)["config"])
    tree, branch = WanModel(config), WanControl(config, 1, CHANNELS)
    tree.load_state_dict(load_file(file))
    branch.load_state_dict(load_file(KEPT / "control_branch.safetensors"))
    return Backbone(tree.requires_grad_(False), control=branch.requires_grad_(False))


def resumed(name: str, model: Backbone) -> Stream:
    """The stream of a kept state, under its control if it had one."""
    stream = resume(state(name), model)
    if (case := name.partition(".")[0]) in KEPT_CONTROLS:
        stream.control = KEPT_CONTROLS[case]()
    return stream


def go_on(stream, text: torch.Tensor) -> list:
    """Two chunks more, and a third under another prompt."""
    chunks = [next(stream), next(stream)]
    stream.set_prompt(text, "recache")
    return [*chunks, next(stream)]


def assert_same_decisions(made, kept) -> None:
    """The same records: decisions exactly, scores nearly."""
    if isinstance(kept, dict):
        assert made.keys() == kept.keys()
        for key in kept:
            assert_same_decisions(made[key], kept[key])
    elif isinstance(kept, list):
        assert len(made) == len(kept)
        for one, other in zip(made, kept, strict=True):
            assert_same_decisions(one, other)
    else:
        assert made == (pytest.approx(kept, rel=1e-4, abs=1e-5) if isinstance(kept, float) else kept)


@every_state
def test_a_kept_state_goes_on_as_it_did(name, model):
    """Latents of the next chunks, passes through the model, and every decision of the memory."""
    file = KEPT / f"{name}.after.safetensors"
    after, chunks = load_file(file), header(file)["chunks"]
    made = go_on(resumed(name, model), after["text"])
    torch.testing.assert_close(torch.cat([chunk.latents for chunk in made], dim=2), after["latents"], **NEAR)
    assert [[forward.kind for forward in chunk.forwards] for chunk in made] == [kept["forwards"] for kept in chunks]
    assert_same_decisions([chunk.trace for chunk in made], [kept["trace"] for kept in chunks])


@pytest.mark.parametrize("name", [f"{case}.{content}" for case in KEPT_CONTROLS for content in ("exact", "compact")])
def test_a_kept_state_under_control_goes_on_bit_for_bit(name, model, tmp_path):
    """As itself and as it is saved again, from its file and behind a chunk of it."""
    text = load_file(KEPT / f"{name}.after.safetensors")["text"]
    stream = resumed(name, model)
    made = [chunk.latents for chunk in go_on(stream, text)]
    assert all(map(torch.equal, made, [chunk.latents for chunk in go_on(resumed(name, model), text)]))
    again = resumed(name, model)
    next(again)
    capture(again).save(tmp_path / "again.safetensors")
    last = resume(StreamState.load(tmp_path / "again.safetensors"), model)
    last.control = KEPT_CONTROLS[name.partition(".")[0]]()
    assert torch.equal(next(last).latents, made[1])


@every_state
def test_a_kept_state_has_the_same_summary(name):
    kept, expected = state(name), header(KEPT / f"{name}.after.safetensors")["said"]
    assert name.endswith(kept.content) and kept.chunks == expected["chunks"]
    assert [list(pin) for pin in kept.pins] == expected["pins"]
    assert (kept.pinned_places, kept.rebuilds) == (expected["places"], expected["rebuilds"])


@pytest.mark.parametrize("case", CASES)
def test_saved_again_it_is_the_same_state(case, model):
    """Resumed and captured anew, a state has the tensors and the JSON of its file, and so has its compact form."""
    again = capture(resumed(f"{case}.exact", model))
    for made, kept in ((again, state(f"{case}.exact")), (again.compact(), state(f"{case}.compact"))):
        assert json.loads(json.dumps(made.meta)) == kept.meta
        assert made.tensors.keys() == kept.tensors.keys()
        for name, tensor in kept.tensors.items():
            assert made.tensors[name].dtype == tensor.dtype and torch.equal(made.tensors[name], tensor), name
