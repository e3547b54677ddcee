"""MemFlow Sampler on a real ComfyUI `MODEL`: what its inputs do, and how bad ones are refused."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch._dynamo.utils import counters

LONG = {"length": 93}  # 8 chunks


def test_sizes_lengths_and_seeds(tiny):
    made, _, report = tiny.sample(width=96, height=48)
    assert made.shape == (1, 16, 12, 6, 12) and bool(torch.isfinite(made).all())
    assert torch.equal(made, tiny.sample(width=96, height=48)[0])
    assert not torch.equal(made, tiny.sample(width=96, height=48, seed=8)[0])
    assert len(json.loads(report)["plan"]["segments"]) == 3


def test_a_longer_video_starts_with_the_same_pictures(tiny):
    start = tiny.schedule("0s: a robot walks in the meadow\n1s: an empty beach")
    short, long = (tiny.sample(schedule=start, length=length)[0] for length in (33, 45))
    assert torch.equal(short, long[:, :, : short.shape[2]])


def test_forwards_are_counted_and_none_is_hidden(tiny):
    calls = []
    tree = tiny.nodes.host.wan_tree(tiny.model)
    hook = tree.blocks[0].register_forward_hook(lambda *_: calls.append("whole block"))
    embedded = tree.patch_embedding.register_forward_hook(lambda *_: calls.append("forward"))
    try:
        _, _, report = tiny.sample()
    finally:
        hook.remove()
        embedded.remove()
    assert json.loads(report)["forwards"] == {"denoise": 8, "context": 4, "recache": 2, "moment": 1}
    assert calls == ["forward"] * 15


def test_the_bank_changes_the_picture_once_it_holds_something(tiny):
    on, off = (tiny.sample(memory=tiny.memory(retrieval=policy), **LONG)[0] for policy in ("prompt", "none"))
    assert torch.equal(on[:, :, :6], off[:, :, :6])
    assert not torch.equal(on[:, :, -3:], off[:, :, -3:])


@pytest.mark.parametrize("preset", ["Story", "Official MemFlow", "Sparse (SMA, 3 of 6)", "Window only"])
def test_every_preset_runs(tiny, preset):
    memory = tiny.nodes.memory.MemFlowMemory.execute({"preset": preset}).result[0]
    made, _, _ = tiny.sample(memory=memory, **LONG)
    assert made.shape[2] == 24 and bool(torch.isfinite(made).all())


def test_a_state_goes_on_as_if_nothing_had_happened(tiny):
    whole, _, _ = tiny.sample(**LONG)
    head, state, _ = tiny.sample(length=45)
    rest, _, _ = tiny.sample(length=48, state=state)
    assert torch.equal(torch.cat((head, rest), dim=2), whole)


def test_nodes_leave_their_inputs_alone(tiny):
    schedule, (_, state, _) = tiny.schedule(), tiny.sample()
    weights = {name: tensor.clone() for name, tensor in tiny.model.model.state_dict().items()}
    before = copy.deepcopy((schedule, state))
    first = tiny.sample(schedule=schedule, state=state, length=24)[0]
    assert torch.equal(first, tiny.sample(schedule=schedule, state=state, length=24)[0]), "the state was used up"
    _assert_same(before[0].embeddings, schedule.embeddings)
    _assert_same(tuple(before[1].stream.tensors.values()), tuple(state.stream.tensors.values()))
    assert before[1].stream.meta == state.stream.meta and before[0].prompts == schedule.prompts
    _assert_same(tuple(weights.values()), tuple(tiny.model.model.state_dict().values()))


def _assert_same(before: tuple[torch.Tensor, ...], after: tuple[torch.Tensor, ...]) -> None:
    assert len(before) == len(after)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_segments_by_node_equal_a_schedule_by_text(tiny):
    chain = None
    for start, prompt in ((0.0, "a robot walks in the meadow"), (1.0, "an empty beach")):
        conditioning = tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize(prompt))
        node = tiny.nodes.prompts.MemFlowPromptSegment
        chain = node.execute(conditioning, start, "seconds", "recache", chain).result[0]
    written = tiny.schedule("0s: a robot walks in the meadow\n1s: an empty beach")
    assert torch.equal(tiny.sample(schedule=chain)[0], tiny.sample(schedule=written)[0])


def test_a_blend_by_node_equals_one_by_text(tiny):
    """3 s at 16 fps are four chunks, and at 24 fps six."""
    node, chain = tiny.nodes.prompts.MemFlowPromptSegment, None
    for start, prompt in ((0.0, "a robot walks in the meadow"), (1.0, "an empty beach")):
        conditioning = tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize(prompt))
        chain = node.execute(conditioning, start, "seconds", "blend", chain, 3.0, "spherical").result[0]
    for fps, chunks in ((16.0, 4), (24.0, 6)):
        by_node, _, report = tiny.sample(schedule=chain, fps=fps, **LONG)
        text = f"0s: a robot walks in the meadow\n1s [blend {chunks} spherical]: an empty beach"
        assert torch.equal(by_node, tiny.sample(schedule=tiny.schedule(text), fps=fps, **LONG)[0])
        assert json.loads(report)["plan"]["segments"][1]["blend_chunks"] == chunks
    linear = tiny.schedule("0s: a robot walks in the meadow\n1s [blend]: an empty beach")
    assert not torch.equal(tiny.sample(schedule=linear, **LONG)[0], tiny.sample(schedule=chain, **LONG)[0])


PINNED = "pin hero: 0:01\n0s: a robot walks in the meadow\n2s: an empty beach\n4s [hero]: the robot returns"


def test_a_pinned_moment_comes_back_after_a_break_too(tiny):
    """The story goes on from a state, whose memory holds the pin."""
    story = {"schedule": tiny.schedule(PINNED, "a meadow"), "memory": tiny.memory(retrieval="fifo")}
    whole, _, report = tiny.sample(length=93, **story)
    records = [record for record in json.loads(report)["memory"] if record["event"] in ("pin", "recall")]
    assert [(record["event"], record["chunk"]) for record in records] == [("pin", 1), ("recall", 6)]
    plain = dict(story, schedule=tiny.schedule(PINNED.replace("[hero]", ""), "a meadow"))
    assert not torch.equal(whole[:, :, -3:], tiny.sample(length=93, **plain)[0][:, :, -3:])
    both = {"schedule": tiny.schedule(PINNED.split("\n4s")[0], "a meadow"), "memory": story["memory"]}
    head, state, _ = tiny.sample(length=45, **both)
    rest, _, _ = tiny.sample(length=48, **story, state=state)
    assert torch.equal(torch.cat((head, rest), dim=2), whole)


def test_what_lies_beyond_the_end_is_left_out_and_told(tiny):
    story = "pin: 0.5s\npin: 50s\n0s: a robot walks in the meadow\n1s: an empty beach"
    latent, _, report = tiny.sample(schedule=tiny.schedule(f"{story}\n60s: a cat\n70s: a ghost"), length=33)
    told = json.loads(report)
    assert [segment["prompt"] for segment in told["plan"]["segments"]] == [
        "a robot walks in the meadow",
        "an empty beach",
    ]
    assert told["plan"]["notes"] == [
        "the story ends at 2.06 s: later prompts left out (2)",
        "the story ends at 2.06 s: later pins left out (1)",
    ]
    assert told["played"].startswith("# the story ends at 2.06 s: later prompts left out (2)\n# the story")
    alone = tiny.schedule(story.replace("pin: 50s\n", ""))
    assert torch.equal(latent, tiny.sample(schedule=alone, length=33)[0])
    assert torch.equal(latent, tiny.sample(schedule=tiny.schedule(told["played"]), length=33)[0])


BAD = {
    "empty schedule": (dict(prompts=""), "empty"),
    "unsorted times": (dict(prompts="0s: a robot\n2s: a cat\n1s: a ghost"), "1"),
    "late start": (dict(prompts="1s: a robot"), "0"),
    "unknown pin": (dict(prompts="0s: a robot\n1s [hero]: a cat"), "hero"),
    "pin after its segment": (dict(prompts="pin hero: 2s\n0s: a robot\n1s [hero]: a cat"), "not made by then"),
    "more pins than places": (dict(prompts="pin: 0s\npin: 1s\n0s: a robot", memory=dict(bank_size=1)), "holds 1"),
    "pins without a bank": (dict(prompts="pin: 0s\n0s: a robot", memory=dict(retrieval="none")), "keeps no bank"),
    "pins for the reference": (
        dict(prompts="pin: 0s\n0s: a robot", memory=dict(retrieval="reference")),
        "knows no pins",
    ),
    "blend of nothing": (dict(prompts="0s: a robot\n1s [blend 0]: a cat"), "at least 1"),
    "width off the grid": (dict(width=100), "multiples of 16"),
    "height off the grid": (dict(height=72), "multiples of 16"),
    "no length": (dict(length=0), "length"),
    "bank too large": (dict(memory=dict(bank_size=65)), "from 0 to 64"),
    "window too small": (dict(memory=dict(window_size=2)), "window"),
    "top_k too large": (dict(memory=dict(top_k=7)), "use at most 6"),
    "steps of words": (dict(steps="a, b"), "whole number"),
    "rising steps": (dict(steps="250, 1000"), "must fall"),
    "no steps": (dict(steps=""), "empty"),
    "too far for absolute": (dict(memory=dict(positions="absolute"), length=5000), "1024"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_before_any_sampling(tiny, name, monkeypatch):
    changes, word = BAD[name]
    monkeypatch.setattr(tiny.nodes.host, "sampling", _must_not_run)
    with pytest.raises(ValueError, match=word) as error:
        changes = dict(changes)
        if "prompts" in changes:
            changes["schedule"] = tiny.schedule(changes.pop("prompts"))
        if "memory" in changes:
            changes["memory"] = tiny.memory(**changes["memory"])
        tiny.sample(**changes)
    assert "\n" not in str(error.value)


def _must_not_run(*_):
    raise AssertionError("sampling started")


def test_a_state_of_another_size_is_refused(tiny):
    _, state, _ = tiny.sample()
    with pytest.raises(ValueError, match="64 x 64"):
        tiny.sample(state=state, width=96)
    with pytest.raises(ValueError, match="memory settings differ"):
        tiny.sample(state=state, memory=tiny.memory(bank_size=1))


def test_prompts_of_another_text_encoder_are_refused(tiny):
    wide = copy.copy(tiny.schedule())
    object.__setattr__(wide, "embeddings", tuple(torch.zeros(1, 7, 4096) for _ in wide.embeddings))
    with pytest.raises(ValueError, match="4096 wide"):
        tiny.sample(schedule=wide)


def test_combined_conditioning_is_refused(tiny):
    conditioning = tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize("a robot"))
    with pytest.raises(ValueError, match="2 entries"):
        tiny.nodes.prompts.MemFlowPromptSegment.execute(conditioning * 2, 0.0, "seconds", "recache")


def test_weights_with_nan_stop_at_the_first_chunk(tiny):
    broken = tiny.model.clone()
    broken.add_object_patch("diffusion_model.head.head.bias", torch.nn.Parameter(torch.full((64,), torch.nan)))
    with pytest.raises(ValueError, match="chunk 0 .* NaN"):
        tiny.sample(model=broken)


def test_an_override_reads_all_attention_sparse_memory_included(tiny):
    """Without one, sparse memory is read in the fastest way there is; a CPU has one way, so the pictures are equal."""
    calls = []

    def override(attention, *args, **kwargs):
        calls.append(args[0].shape)
        return attention(*args, **kwargs)

    model, host = tiny.model.clone(), tiny.nodes.host
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    with host.sampling(tiny.model, (1, 16, 12, 8, 8), 0) as plain, host.sampling(model, (1, 16, 12, 8, 8), 0) as own:
        assert (plain.reader, own.reader) == ("fastest", "gather")
        assert plain.attention is host.attention_of(tiny.model)
    memory = tiny.memory(top_k=2)
    samples, _, report = tiny.sample(model=model, memory=memory)
    forwards = json.loads(report)["forwards"]
    # what only writes keys ends with the last layer's
    reads = sum(forwards.values()) * len(host.wan_tree(model).blocks) - forwards["context"] - forwards["recache"]
    assert len(calls) == 2 * reads  # self- and cross-attention
    assert torch.equal(samples, tiny.sample(memory=memory)[0])


def test_a_torch_compile_model_node_compiles_the_stream(tiny):
    """What it asks for holds for the streams of its model, and for no others."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    model = tiny.model.clone()
    # as the node does, with a backend that needs no C++ compiler
    set_torch_compile_wrapper(model=model, backend="aot_eager", options={})
    before = counters["stats"]["unique_graphs"]
    plain = tiny.sample()[0]
    assert counters["stats"]["unique_graphs"] == before
    assert torch.allclose(tiny.sample(model=model)[0], plain, atol=1e-3)
    assert counters["stats"]["unique_graphs"] > before
