"""Saved and resumed, a stream makes the numbers it would have made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from memflow_core.config import ModelConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.state import StreamState, capture, resume

SCENES = {0: (0,), 4: (1, "recache"), 9: (2, "cut"), 13: (0, "recache")}
RESUME = """
import sys, torch
sys.path.append(sys.argv[1])
from memflow_core.model import Backbone, WanModel
from memflow_core.config import ModelConfig
from memflow_core.state import StreamState, resume
tree = WanModel(ModelConfig(**eval(sys.argv[2])))
tree.load_state_dict(torch.load(sys.argv[3]))
stream = resume(StreamState.load(sys.argv[4]), Backbone(tree.requires_grad_(False)))
for chunk, prompt in torch.load(sys.argv[5]).items():
    if prompt is not None:
        stream.set_prompt(*prompt)
    torch.save(next(stream).latents, f"{sys.argv[6]}/{chunk}.pt")
"""


@pytest.mark.parametrize("saved_at", [1, 5, 9, 12])
@pytest.mark.parametrize(
    "settings",
    [
        {"retrieval": "reference", "top_k": 3},
        {"retrieval": "prompt", "record_every": 1, "top_k": 3, "pins": (7,)},
        {"retrieval": "similarity", "record_every": 2},
        {"retrieval": "attention", "record_every": 1},
        {"retrieval": "fifo", "positions": "relative"},
        {"retrieval": "none"},
    ],
)
def test_a_resumed_stream_is_bit_identical(make_stream, play, prompt, backbone, settings, saved_at):
    scenes = {chunk: (prompt(number), *kind) for chunk, (number, *kind) in SCENES.items()}
    whole = make_stream(**settings)
    made = play(whole, saved_at, scenes)
    state = capture(whole)
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    made += play(whole, 16 - saved_at, scenes)
    resumed = resume(state, backbone)
    for chunk in play(resumed, 16 - saved_at, scenes):
        assert torch.equal(chunk.latents, made[chunk.index].latents)
    assert resumed.trace.records == whole.trace.records
    assert all(torch.equal(before[name], tensor) for name, tensor in state.tensors.items()), "the state was written to"


@pytest.mark.slow
def test_a_new_process_goes_on_from_the_file(make_stream, play, prompt, backbone, tmp_path):
    scenes = {chunk: (prompt(number), *kind) for chunk, (number, *kind) in SCENES.items()}
    whole = make_stream(retrieval="prompt", record_every=1, top_k=3)
    play(whole, 7, scenes)
    capture(whole).save(tmp_path / "state.safetensors")
    rest = play(whole, 8, scenes)
    torch.save(backbone.tree.state_dict(), tmp_path / "model.pt")
    torch.save({chunk: scenes.get(chunk) for chunk in range(7, 15)}, tmp_path / "prompts.pt")
    sizes = {"dim": 32, "num_heads": 2, "num_layers": 2, "ffn_dim": 48, "text_dim": 8, "freq_dim": 16}
    subprocess.run(
        [
            sys.executable,
            "-c",
            RESUME,
            str(Path(__file__).resolve().parents[3]),
            str(sizes),
            tmp_path / "model.pt",
            tmp_path / "state.safetensors",
            tmp_path / "prompts.pt",
            tmp_path,
        ],
        check=True,
    )
    for chunk in rest:
        assert torch.equal(torch.load(tmp_path / f"{chunk.index}.pt"), chunk.latents)


def test_a_waiting_prompt_is_part_of_the_state(make_stream, play, prompt, backbone):
    whole = make_stream()
    play(whole, 4, {0: (prompt(0),)})
    whole.set_prompt(prompt(1), "recache", 31)
    resumed = resume(capture(whole), backbone)
    assert torch.equal(next(resumed).latents, next(whole).latents)


def test_two_endings_branch_from_one_state(make_stream, play, prompt, backbone):
    stream = make_stream()
    play(stream, 4, {0: (prompt(0),)})
    state = capture(stream)
    endings = [play(resume(state, backbone), 2, {4: (prompt(n),)})[-1].latents for n in (1, 2, 1)]
    assert torch.equal(endings[0], endings[2])
    assert not torch.equal(endings[0], endings[1])


def test_there_is_no_state_before_the_first_chunk_or_inside_one(make_stream, prompt):
    def stop(forward):
        if forward.chunk == 1:
            raise KeyboardInterrupt

    stream = make_stream(on_forward=stop)
    stream.set_prompt(prompt(0))
    with pytest.raises(ValueError, match="make a chunk first"):
        capture(stream)
    next(stream)
    capture(stream)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    with pytest.raises(ValueError, match="between finished chunks"):
        capture(stream)


def test_another_model_is_refused(make_stream, play, prompt):
    stream = make_stream()
    play(stream, 2, {0: (prompt(0),)})
    other = WanModel(ModelConfig(dim=32, num_heads=2, num_layers=3, ffn_dim=48, text_dim=8, freq_dim=16))
    with pytest.raises(ValueError, match="2 layers and 2 heads of 16, but the model given has 3 layers"):
        resume(capture(stream), Backbone(other))
    halved = WanModel(ModelConfig(dim=32, num_heads=2, num_layers=2, ffn_dim=48, text_dim=8, freq_dim=16))
    with pytest.raises(ValueError, match="made in torch.float32, but the model computes in torch.bfloat16"):
        resume(capture(stream), Backbone(halved.bfloat16(), torch.bfloat16))


def test_files_that_are_no_states_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no stream state"):
        StreamState.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match=r"text.safetensors is damaged or not a safetensors file"):
        StreamState.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is not a stream state"):
        StreamState.load(tmp_path / "other.safetensors")
    save_file(
        {"a": torch.zeros(1)},
        tmp_path / "new.safetensors",
        metadata={"format": "memflow-stream-state", "meta": json.dumps({"version": 99})},
    )
    with pytest.raises(ValueError, match="version 99, but this program reads versions 1 and 2"):
        StreamState.load(tmp_path / "new.safetensors")


def test_a_waiting_change_with_noise_of_its_own_cannot_be_saved(make_stream, play, prompt):
    class Zeros:
        def chunk(self, _):
            return torch.zeros

    stream = make_stream()
    play(stream, 1, {0: (prompt(0),)})
    stream.set_prompt(prompt(1), noise=Zeros())
    with pytest.raises(ValueError, match="only a stream with seeded noise has a state"):
        capture(stream)


@pytest.mark.parametrize("name", ["steps", "shift", "warp", "context_noise", "chunk_frames"])
def test_a_state_without_one_of_its_sampling_settings_is_refused(make_stream, play, prompt, tmp_path, name):
    stream = make_stream()
    play(stream, 1, {0: (prompt(0),)})
    state = capture(stream)
    sampling = {key: value for key, value in state.meta["sampling"].items() if key != name}
    StreamState(state.tensors, {**state.meta, "sampling": sampling}).save(tmp_path / "story.safetensors")
    with pytest.raises(ValueError, match=f"story.safetensors cannot be continued: .*lacks? '{name}'"):
        StreamState.load(tmp_path / "story.safetensors")


@pytest.mark.parametrize("version", [True, 1.5, "2", None])
def test_a_version_that_is_no_number_of_one_is_refused(tmp_path, version):
    meta = json.dumps({"version": version})
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", {"format": "memflow-stream-state", "meta": meta})
    with pytest.raises(ValueError, match="but this program reads versions 1 and 2"):
        StreamState.load(tmp_path / "x.safetensors")
