"""State files of older versions: they go on to the numbers of their own code, and are checked like any other.

How the files were made, and why they are not made anew: tests/golden/kept/make_v1.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from memflow_core.config import ModelConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.state import StreamState, capture, resume
from memflow_core.state.format import READABLE, VERSION

KEPT = Path(__file__).resolve().parents[2] / "golden" / "kept" / "core"
CASES = ("v1_prompt", "v1_reference", "v1_early")
NEAR = {"rtol": 1e-5, "atol": 1e-5}

every_case = pytest.mark.parametrize("case", CASES)


def header(file: Path) -> dict:
    with safe_open(file, framework="pt") as opened:
        return opened.metadata()


@pytest.fixture(scope="module")
def model() -> Backbone:
    """The model that the streams were made with."""
    file = KEPT / "model.safetensors"
    tree = WanModel(ModelConfig(**json.loads(header(file)["config"])))
    tree.load_state_dict(load_file(file))
    return Backbone(tree.requires_grad_(False))


@pytest.fixture
def old(model):
    """old(case): a stream that goes on from a kept file of version 1."""
    return lambda case: resume(StreamState.load(KEPT / f"{case}.safetensors"), model)


def decisions(trace: list[dict]) -> list[dict]:
    """A chunk's records without scores, and without what no policy decides."""
    kept = [record for record in trace if record["event"] != "activate"]
    return [{key: value for key, value in record.items() if key != "scores"} for record in kept]


def through(path: Path, state: StreamState) -> StreamState:
    """The state as a file brings it back."""
    state.save(path)
    return StreamState.load(path)


@every_case
def test_a_state_of_version_1_goes_on_as_its_own_code_did(case, old):
    """Latents of two chunks and of one more under another prompt, passes, and what the memory decided."""
    file = KEPT / f"{case}.after.safetensors"
    after, expected = load_file(file), json.loads(header(file)["chunks"])
    stream = old(case)
    made = [next(stream), next(stream)]
    stream.set_prompt(after["text"], "recache")
    made.append(next(stream))
    torch.testing.assert_close(torch.cat([chunk.latents for chunk in made], dim=2), after["latents"], **NEAR)
    assert [[one.kind for one in chunk.forwards] for chunk in made] == [chunk["forwards"] for chunk in expected]
    assert [decisions(chunk.trace) for chunk in made] == [decisions(chunk["trace"]) for chunk in expected]


@every_case
def test_saved_again_it_is_a_state_of_today(case, old, model, tmp_path):
    """At once and after chunks of today's code, an exact state of it goes on as the stream does."""
    stream = old(case)
    for chunks in (0, 2):
        for _ in range(chunks):
            next(stream)
        state = through(tmp_path / f"{chunks}.safetensors", capture(stream))
        assert state.meta["version"] == VERSION and state.pins == stream.pins
        resumed = resume(state, model)
        assert torch.equal(next(resumed).latents, next(stream).latents)
        assert capture(resumed).meta == capture(stream).meta


@every_case
def test_after_a_cut_it_is_saved_and_goes_on(case, old, model, tmp_path):
    """Frames that were safe in the sink go into the bank, and stay as unknown as they were."""
    stream = old(case)
    stream.set_prompt(torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(7)), "cut")
    next(stream)
    resumed = resume(through(tmp_path / "cut.safetensors", capture(stream)), model)
    assert torch.equal(next(resumed).latents, next(stream).latents)


@every_case
def test_there_is_no_compact_state_of_what_nobody_could_make_again(case, old):
    stream = old(case)
    for _ in range(3):
        with pytest.raises(ValueError, match="of version 1.*save it as exact") as error:
            capture(stream).compact()
        assert "\n" not in str(error.value)
        next(stream)


def test_once_all_that_is_unknown_is_forgotten_there_is_a_compact_state(old, model, tmp_path):
    """After a cut, and when the bank has let go of what it came with."""
    stream = old("v1_prompt")
    for frame, _ in stream.pins:
        stream.unpin(frame)
    next(stream)
    stream.set_prompt(torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(7)), "cut")
    unknown, made = True, 0
    while unknown and made < 60:
        next(stream)
        made += 1
        unknown = any(write["kind"] == "unknown" for write in capture(stream).meta["ledger"]["writes"])
    assert not unknown and made > 1
    compact = through(tmp_path / "compact.safetensors", capture(stream).compact())
    again = resume(compact, model)
    assert torch.equal(again.memory.bank.listed_frames(), stream.memory.bank.listed_frames())
    expected = next(stream).latents
    assert (next(again).latents - expected).norm() < 0.05 * expected.norm()


def test_a_pin_of_today_on_a_frame_of_then_goes_on(old, model, tmp_path):
    """Its keys are copies of keys that nobody could make again, and are known to be that."""
    stream = old("v1_prompt")
    stream.unpin(21)
    stream.pin(22, "hero")
    state = through(tmp_path / "pinned.safetensors", capture(stream))
    assert torch.equal(next(resume(state, model)).latents, next(stream).latents)
    with pytest.raises(ValueError, match="save it as exact"):
        state.compact()


# -- files from strangers ------------------------------------------------------------------------------------


def rewritten(tmp_path: Path, change, case: str = "v1_prompt") -> Path:
    """A kept file after change(tensors, meta)."""
    file = KEPT / f"{case}.safetensors"
    tensors, meta = load_file(file), json.loads(header(file)["meta"])
    change(tensors, meta)
    save_file(tensors, tmp_path / "story.safetensors", {"format": "memflow-stream-state", "meta": json.dumps(meta)})
    return tmp_path / "story.safetensors"


def _set(*path, to):
    def change(tensors, meta):
        for part in path[:-1]:
            meta = meta[part]
        meta[path[-1]] = to

    return change


DAMAGED = {
    "NaN among the keys": lambda tensors, meta: tensors["k"][0, 0, 0, 3].fill_(torch.nan),
    "NaN among the latents": lambda tensors, meta: tensors["recent"].fill_(torch.nan),
    "an endless mean": lambda tensors, meta: tensors["mean_k"].fill_(torch.inf),
    "no prompt": lambda tensors, meta: tensors.pop("text"),
    "a prompt of one number": lambda tensors, meta: tensors.update(text=torch.tensor(1.0)),
    "a prompt of numbers in a row": lambda tensors, meta: tensors.update(text=torch.zeros(4)),
    "a waiting prompt of another batch": lambda tensors, meta: tensors.update({"next.text": torch.zeros(7, 6, 8)}),
    "no waiting prompt": lambda tensors, meta: tensors.pop("next.text"),
    "no keys": lambda tensors, meta: tensors.pop("k"),
    "keys of another kind": lambda tensors, meta: tensors.update(k=tensors["k"].double()),
    "an offer without keys": lambda tensors, meta: tensors.pop("offer.1.k"),
    "frames from the future": lambda tensors, meta: tensors["frames"].fill_(1000),
    "frames that are no numbers": lambda tensors, meta: tensors.update(frames=tensors["frames"].float()),
    "frames of eight bits": lambda tensors, meta: tensors.update(frames=tensors["frames"].to(torch.float8_e4m3fn)),
    "keys of eight bits": lambda tensors, meta: tensors.update(k=tensors["k"].to(torch.float8_e4m3fn)),
    "a prompt of eight bits": lambda tensors, meta: tensors.update(text=tensors["text"].to(torch.float8_e4m3fn)),
    "frames in a row": lambda tensors, meta: tensors.update(frames=torch.zeros(3, dtype=torch.int64)),
    "an order beyond the bank": lambda tensors, meta: tensors["order"].fill_(7),
    "a trace that is no JSON": lambda tensors, meta: tensors.update(trace=torch.full((9,), 91, dtype=torch.uint8)),
    "something else": lambda tensors, meta: tensors.update(surprise=torch.zeros(1)),
    "no memory": _set("memory", to={}),
    "a window without end": _set("memory", "window_frames", to=10**12),
    "an end that is not made": _set("at", "end", to=10**12),
    "an end of words": _set("at", "end", to="late"),
    "a bank fuller than it is": _set("at", "bank", to=10**6),
    "something else in its place": _set("at", "surprise", to=1),
    "no place": _set("at", to=None),
    "prompts of words": _set("prompts", to="two"),
    "chunks below zero": _set("chunk", to=-8),
    "frames that wait for too much": _set("offers", to=[[18, 99, True]]),
    "offers of words": _set("offers", to="none"),
    "an unknown switch": _set("next", "switch", to="leap"),
    "a waiting list": _set("next", to=[]),
    "a seed of words": _set("next", "seed", to="x"),
    "pins without end": _set("pins", to=list(range(100))),
    "a ledger of its own": _set("offers", to=[[5, 0, True]]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_of_version_1_is_refused_in_one_sentence(name, tmp_path):
    path = rewritten(tmp_path, DAMAGED[name])
    with pytest.raises(ValueError, match=r"^story.safetensors (cannot be continued|is damaged)") as error:
        StreamState.load(path)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_what_version_1_did_not_know_says_nothing(tmp_path):
    def change(tensors, meta):
        meta |= {"named": [["hero", 7]], "content": "compact", "blend": {"done": 9}, "ledger": {"writes": "none"}}

    state = StreamState.load(rewritten(tmp_path, change))
    assert state.pins == [(7, None), (21, None)] and state.content == "exact" and "blend" not in state.meta


def test_a_compact_file_that_claims_unknown_frames_is_refused(old, tmp_path):
    state = capture(old("v1_prompt"))
    keys = {name: tensor for name, tensor in state.tensors.items() if "." not in name or name.startswith("text")}
    kept = {name: tensor for name, tensor in keys.items() if name not in ("k", "v", "mean_k")}
    StreamState(kept, {**state.meta, "content": "compact"}).save(tmp_path / "story.safetensors")
    with pytest.raises(ValueError, match="nothing is known of"):
        StreamState.load(tmp_path / "story.safetensors")


@pytest.mark.parametrize("version", [0, 3, None, "1", [1]])
def test_other_versions_are_refused_by_the_names_of_those_that_can_be_read(version, tmp_path):
    path = rewritten(tmp_path, _set("version", to=version))
    with pytest.raises(ValueError, match="version .* but this program reads versions 1 and 2.$"):
        StreamState.load(path)


def test_the_versions_that_can_be_read_are_todays_and_up_to_two_before_it():
    assert tuple(range(max(1, VERSION - 2), VERSION + 1)) == READABLE
