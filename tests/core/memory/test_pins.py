"""Pins: moments that memory keeps because the user asked for it."""

import random

import pytest
import torch

from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream
from tests.core.pinned import POLICIES, banks, events, keys_in_bank, latents, run, standing

# -- named pins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retrieval", POLICIES)
@pytest.mark.parametrize("frame", [13, 15])
def test_a_named_pin_stands_in_the_bank_while_a_prompt_asks_for_it(make_stream, prompt, retrieval, frame):
    """Frame 13 would never be recorded by itself; frame 15 is."""
    stream = make_stream(retrieval=retrieval, record_every=1)
    stream.pin(frame, "hero")
    stream.set_prompt(prompt(0))
    run(stream, 15)
    stream.set_prompt(prompt(1), recall=["hero"])
    for _ in range(6):
        run(stream, 1)
        assert all(frame in held for held in banks(stream))
        assert not any(held & standing(stream) for held in banks(stream))
    stream.set_prompt(prompt(0))
    if retrieval == "fifo":
        run(stream, 2)
        assert not any(frame in held for held in banks(stream))


def test_a_named_pin_comes_back_as_it_was_when_it_was_made(make_stream, prompt):
    """A recache that changed the window's keys in the meantime does not reach it."""
    stream = make_stream(retrieval="fifo", record_every=1)
    stream.set_prompt(prompt(0))
    stream.pin(13, "hero")
    run(stream, 5)
    made = stream.memory.bank.copy_frame(13).k
    stream.set_prompt(prompt(1))
    run(stream, 1)
    assert not torch.equal(stream.memory.bank.view_frame(13).k, made)
    run(stream, 9)
    stream.set_prompt(prompt(2), recall=["hero"])
    run(stream, 1)
    assert torch.equal(keys_in_bank(stream, 13), made)


def test_a_recalled_pin_changes_the_picture(make_stream, prompt):
    made = {}
    for names in ((), ("hero",)):
        stream = make_stream(retrieval="fifo", record_every=1)
        stream.set_prompt(prompt(0))
        stream.pin(13, "hero")
        before = run(stream, 12)
        stream.set_prompt(prompt(1), recall=names)
        made[names] = latents(before), latents(run(stream, 1))
    assert torch.equal(made[()][0], made["hero",][0])
    assert (made[()][1] - made["hero",][1]).abs().max() > 1e-3


@pytest.mark.parametrize("retrieval", POLICIES)
def test_a_recalled_frame_that_is_still_in_the_window_enters_when_it_leaves(make_stream, prompt, retrieval):
    stream = make_stream(retrieval=retrieval, record_every=1)
    stream.pin(13, "hero")
    stream.set_prompt(prompt(0))
    run(stream, 5)
    stream.set_prompt(prompt(1), recall=["hero"])
    for _ in range(5):
        run(stream, 1)
        for held in banks(stream):
            assert (13 in held) is (13 not in standing(stream))


@pytest.mark.parametrize("retrieval", POLICIES)
@pytest.mark.parametrize("frame", [1, 13])
def test_after_a_cut_a_recalled_frame_stands_in_the_bank_at_once(make_stream, prompt, retrieval, frame):
    """From the sink, and from the window."""
    stream = make_stream(retrieval=retrieval, record_every=1)
    stream.pin(frame, "hero")
    stream.set_prompt(prompt(0))
    run(stream, 5)
    stream.set_prompt(prompt(1), "cut", recall=["hero"])
    for _ in range(5):
        run(stream, 1)
        assert all(frame in held for held in banks(stream))


def test_a_frame_in_the_sink_needs_no_place_in_the_bank(make_stream, prompt):
    stream = make_stream(retrieval="fifo", record_every=1)
    stream.pin(1, "start")
    stream.set_prompt(prompt(0))
    run(stream, 8)
    stream.set_prompt(prompt(1), recall=["start"])
    run(stream, 4)
    assert not any(1 in held for held in banks(stream))


@pytest.mark.parametrize("source", ["sink", "window", "bank"])
def test_a_moment_can_be_named_while_the_stream_runs(make_stream, prompt, source):
    stream = make_stream(retrieval="fifo", record_every=1)
    stream.set_prompt(prompt(0))
    run(stream, 8)
    frame = {"sink": 2, "window": 20, "bank": next(iter(banks(stream)[0]))}[source]
    held = keys_in_bank(stream, frame) if source == "bank" else stream.memory.bank.copy_frame(frame).k
    stream.pin(frame, "hero")
    assert events(stream, "pin") == []  # noted with the next chunk
    run(stream, 8)
    stream.set_prompt(prompt(1), "cut", recall=["hero"])
    run(stream, 1)
    assert torch.equal(keys_in_bank(stream, frame), held)
    assert [(e["chunk"], e["frame"], e["name"]) for e in events(stream, "pin")] == [(8, frame, "hero")]


def test_batch_items_recall_their_own(make_stream, prompt):
    stream = make_stream(retrieval="prompt", record_every=1, batch=2)
    stream.set_prompt(torch.cat((prompt(0), prompt(1))))
    stream.pin(12, "hero")
    run(stream, 5)
    made = stream.memory.bank.copy_frame(12).k
    run(stream, 12)
    stream.set_prompt(prompt(2), recall=["hero"])
    run(stream, 2)
    assert torch.equal(keys_in_bank(stream, 12), made)
    assert not torch.equal(made[:, 0], made[:, 1])


# -- pins for good ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retrieval", POLICIES)
def test_a_moment_can_be_pinned_ahead(make_stream, prompt, retrieval):
    stream = make_stream(retrieval=retrieval, record_every=1)
    stream.pin(25)
    stream.set_prompt(prompt(0))
    run(stream, 20)
    assert all(25 in held for held in banks(stream))
    assert [(e["chunk"], e["frame"], e["name"]) for e in events(stream, "pin")] == [(8, 25, None)]


def test_a_named_moment_can_be_pinned_for_good_when_nothing_else_holds_it(make_stream, prompt):
    stream = make_stream(retrieval="fifo", record_every=1)
    stream.pin(13, "hero")
    stream.set_prompt(prompt(0))
    run(stream, 15)
    assert not any(13 in held for held in banks(stream))
    stream.pin(13)
    run(stream, 5)
    assert all(13 in held for held in banks(stream))


def test_the_same_frame_pinned_twice_stands_once(make_stream, prompt):
    stream = make_stream(retrieval="prompt", record_every=1)
    for name in (None, "hero", "again"):
        stream.pin(13, name)
        stream.pin(13, name)
    stream.set_prompt(prompt(0))
    run(stream, 6)
    stream.set_prompt(prompt(1), recall=["hero", "again"])
    run(stream, 6)
    assert all(13 in held for held in banks(stream))
    assert len(events(stream, "pin")) == 3
    assert stream.pins == [(13, None), (13, "again"), (13, "hero")]


def test_an_unpinned_frame_is_one_like_any_other(make_stream, prompt):
    stream = make_stream(retrieval="fifo", record_every=1)
    stream.pin(13)
    stream.pin(16, "hero")
    stream.set_prompt(prompt(0))
    run(stream, 10)
    stream.set_prompt(prompt(1), recall=["hero"])
    run(stream, 4)
    assert all({13, 16} <= held for held in banks(stream))
    stream.unpin(13)
    stream.set_prompt(prompt(2), recall=["hero"])
    stream.unpin("hero")
    run(stream, 3)
    assert not any({13, 16} & held for held in banks(stream))
    assert stream.pins == []
    assert [(e["frame"], e["name"]) for e in events(stream, "unpin")] == [(13, None), (16, "hero")]
    for gone in (13, "hero"):
        with pytest.raises(ValueError, match=f"{gone!r} is not pinned"):
            stream.unpin(gone)


# -- what must always hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retrieval", POLICIES)
@pytest.mark.parametrize("seed", range(4))
def test_pins_hold_through_any_story(make_stream, prompt, backbone, retrieval, seed):
    """Random switches, recalls and a resume: pins stand, nothing stands twice, and the trace records all of it."""
    rng = random.Random(seed)
    stream = make_stream(retrieval=retrieval, record_every=rng.choice((1, 2)), bank_frames=4, top_k=3)
    names = {f"p{frame}": frame for frame in rng.sample(range(24), 5)}
    stream.pin(rng.randrange(24))
    for name, frame in names.items():
        stream.pin(frame, name)
    held = [set() for _ in range(2)]
    for chunk in range(30):
        if chunk % 4 == 0:
            made = [name for name, frame in names.items() if frame < 3 * chunk]
            recall = rng.sample(made, min(len(made), rng.randint(0, 3)))
            switch = rng.choice(("recache", "cut", "soft", "blend"))
            stream.set_prompt(prompt(chunk), switch, recall=recall)
        [done] = run(stream, 1)
        protected = {frame for frame in stream.memory.pins.protected if frame < stream.cache.layout.end}
        for frames in banks(stream):
            assert not frames & standing(stream)
            assert protected <= frames | standing(stream)
        for record in (r for r in done.trace if r["event"] == "retrieve"):
            for layer, after in enumerate(record["after"], record["first_layer"]):
                assert set(record["before"][layer - record["first_layer"]][0]) == held[layer]
                held[layer] = set(after[0])
        assert held == banks(stream)
        if chunk == 13:
            stream = resume(capture(stream), backbone)


@pytest.mark.parametrize("saved_at", [3, 5, 7, 9, 13, 15])
@pytest.mark.parametrize("retrieval", POLICIES)
def test_a_resumed_stream_with_pins_is_bit_identical(
    make_stream, play, prompt, backbone, tmp_path, retrieval, saved_at
):
    def go(stream: Stream, until: int) -> list:
        made = []
        while stream.progress.chunk < until:
            chunk = stream.progress.chunk
            if chunk in (7, 11, 14) and stream.waiting is None:
                stream.set_prompt(prompt(chunk), "cut" if chunk == 11 else "recache", recall=SCENES[chunk])
            made += run(stream, 1)
        return made

    whole = make_stream(retrieval=retrieval, record_every=1)
    for frame, name in ((4, None), (13, "hero"), (32, "late")):
        whole.pin(frame, name)
    whole.set_prompt(prompt(0))
    go(whole, saved_at)
    if saved_at == 7:  # while it waits
        whole.set_prompt(prompt(7), recall=SCENES[7])
    capture(whole).save(tmp_path / "state.safetensors")
    resumed = resume(StreamState.load(tmp_path / "state.safetensors"), backbone, pin_device="cpu")
    assert resumed.pins == whole.pins and resumed.recalled == whole.recalled
    assert torch.equal(latents(go(resumed, 18)), latents(go(whole, 18)))
    assert banks(resumed) == banks(whole)
    assert resumed.trace.records == whole.trace.records


SCENES = {7: ("hero",), 11: ("hero", "late"), 14: ()}


# -- what cannot be -------------------------------------------------------------------------------------------------


def test_what_cannot_be_pinned_or_recalled_is_named(make_stream, prompt):
    stream = make_stream(retrieval="prompt", record_every=1, bank_frames=2)
    stream.set_prompt(prompt(0))
    stream.pin(13, "hero")
    stream.pin(4, "start")
    stream.pin(40, "late")
    with pytest.raises(ValueError, match="asks for pin 'villain', but there are hero, start, late"):
        stream.set_prompt(prompt(1), recall=["villain"])
    run(stream, 6)
    with pytest.raises(ValueError, match="pin 'late', but its latent frame 40 is not made yet"):
        stream.set_prompt(prompt(1), recall=["late"])
    with pytest.raises(ValueError, match="cannot be pinned as 'hero': that is the name of latent frame 13"):
        stream.pin(14, "hero")
    with pytest.raises(ValueError, match="a pin's name is ''"):
        stream.pin(14, "")
    stream.pin(16)
    with pytest.raises(ValueError, match="cannot have hero, start in memory: the bank holds 2 .*1 of them pinned"):
        stream.set_prompt(prompt(1), recall=["hero", "start"])
    stream.set_prompt(prompt(1), recall=["hero"])
    with pytest.raises(ValueError, match="frame 17 cannot be pinned: the bank holds 2 latent frames, 2 of them pinned"):
        stream.pin(17)


@pytest.mark.parametrize("retrieval", ["reference", "none"])
def test_a_memory_without_pins_says_so(make_stream, play, prompt, retrieval):
    stream = make_stream(retrieval=retrieval)
    play(stream, 2, {0: (prompt(0),)})
    message = "knows no pins" if retrieval == "reference" else "make the bank larger"
    for name in (None, "hero"):
        with pytest.raises(ValueError, match=message):
            stream.pin(3, name)
    with pytest.raises(ValueError, match=message if retrieval == "reference" else "but there is none"):
        stream.set_prompt(prompt(1), recall=["hero"])
    assert stream.pins == [] and stream.recalled == ()
