"""What the memory did, told in seconds and video frames, and the share of attention that it gets."""

import json

import pytest
import torch

from memflow_core.attention import AttentionShareMeter
from memflow_core.config import SamplingConfig
from memflow_core.play import MemoryLog, read_log
from memflow_core.schedule import ChunkGrid
from memflow_core.state import capture, resume

GRID = ChunkGrid(SamplingConfig().chunk_frames, 16.0)
STORY = {0: 0, 4: 1, 9: 2, 14: 0}


def scenes(prompt):
    return {chunk: (prompt(number),) for chunk, number in STORY.items()}


def retrieve(chunk, candidate, before, after, scores=None, first_layer=0, policy="prompt"):
    record = {"event": "retrieve", "chunk": chunk, "policy": policy, "candidate": candidate}
    return {**record, "first_layer": first_layer, "before": before, "scores": scores, "after": after}


def seen(moments) -> dict:
    return {moment.frame: moment for moment in moments}


def test_moments_stand_where_they_do_in_the_video():
    story = MemoryLog(GRID)
    told = story.chunk(0, [{"event": "record", "chunk": 0, "frame": frame} for frame in (0, 1, 3, 17)])
    assert [(m.frame, m.time_s, m.chunk) for m in told.recorded] == [
        (0, 0.0, 0),
        (1, 0.0625, 0),
        (9, 0.5625, 1),
        (65, 4.0625, 5),
    ]


def test_a_picture_that_was_given_has_a_number_and_no_time():
    told = MemoryLog(GRID).chunk(0, [{"event": "pin", "chunk": 0, "frame": -3}, retrieve(0, -3, [[[]]], [[[-3]]])])
    (moment,) = told.bank
    assert (moment.frame, moment.chunk, moment.label, moment.pinned) == (-3, -1, "picture 2", True)


def test_what_came_went_and_was_turned_away():
    story = MemoryLog(GRID)
    story.chunk(3, [retrieve(3, 0, [[[]], [[]]], [[[0]], [[0]]])])
    # the first layer lets frame 3 in beside 0, the second swaps
    told = story.chunk(6, [retrieve(6, 3, [[[0]], [[0]]], [[[0, 3]], [[3]]], [[[0.5]], [[0.25]]])])
    bank = seen(told.bank)
    assert {frame: moment.layers for frame, moment in bank.items()} == {0: 0.5, 9: 1.0}
    assert bank[0].score == 0.375 and bank[9].score is None and told.dropped == ()
    # a candidate that competes has the last score
    told = story.chunk(9, [retrieve(9, 6, [[[0, 3]], [[3]]], [[[3]], [[3]]], [[[1.0, 2.0, 0.5]], [[4.0, 0.7]]])])
    gone = seen(told.dropped)
    assert {frame: moment.score for frame, moment in gone.items()} == {0: 1.0, 21: 0.6}
    assert all(moment.layers == 0 for moment in gone.values()) and seen(told.bank)[9].score == 3.0


def test_the_age_of_a_frame_is_no_score():
    told = MemoryLog(GRID).chunk(1, [retrieve(1, 3, [[[0]]], [[[3]]], [[[0.0]]], policy="fifo")])
    assert [moment.score for moment in told.bank] == [None]
    told = MemoryLog(GRID).chunk(1, [retrieve(1, 3, [[[0]]], [[[0]]], [[[0.0]]], policy="fifo")])
    assert [(moment.frame, moment.score) for moment in told.dropped] == [(9, None)]


def test_layers_that_decide_one_by_one_are_one_decision():
    records = [retrieve(4, 3, [[[0]]], [[[0, 3]]], [[[1.0, 2.0]]], layer) for layer in range(3)]
    told = MemoryLog(GRID).chunk(4, records)
    assert {moment.frame: (moment.layers, moment.score) for moment in told.bank} == {0: (1.0, 1.0), 9: (1.0, 2.0)}


@pytest.mark.parametrize("retrieval", ["reference", "prompt", "similarity", "attention", "fifo", "none"])
def test_the_story_ends_with_what_the_bank_holds(make_stream, play, prompt, retrieval):
    stream = make_stream(retrieval=retrieval, record_every=1, batch=2)
    stream.meter = AttentionShareMeter()
    chunks = play(stream, 18, scenes(prompt))
    story = MemoryLog(GRID)
    told = [story.chunk(chunk.index, chunk.trace) for chunk in chunks]
    assert told == read_log(stream.trace.records, GRID, 18)
    lists = [set(held) for layer in stream.memory.bank.listed_frames().tolist() for held in layer]
    frames = set().union(*lists)
    assert {m.frame: m.layers for m in told[-1].bank} == {
        max(0, 4 * frame - 3): pytest.approx(sum(frame in held for held in lists) / len(lists), abs=1e-4)
        for frame in frames
    }
    json.dumps([memory.to_dict() for memory in told])


def test_pins_are_marked_however_they_were_made(make_stream, play, prompt):
    stream = make_stream(retrieval="prompt", record_every=1, pins=(4,))
    chunks = play(stream, 3, scenes(prompt))
    stream.pin(6)
    chunks += play(stream, 12, scenes(prompt))
    story = MemoryLog(GRID, pins=(4,))
    told = [story.chunk(chunk.index, chunk.trace) for chunk in chunks]
    assert {moment.frame for moment in told[-1].bank if moment.pinned} == {13, 21}


def test_a_pin_has_a_name_and_can_be_taken_back():
    story = MemoryLog(GRID)
    held = retrieve(3, 4, [[[]]], [[[4]]])
    named = story.chunk(3, [{"event": "pin", "chunk": 3, "frame": 4, "name": "hero"}, held]).bank[0]
    assert (named.pinned, named.name) == (True, "hero")
    freed = story.chunk(4, [{"event": "unpin", "chunk": 4, "frame": 4, "name": "hero"}]).bank[0]
    assert (freed.pinned, freed.name) == (False, None)


def test_a_resumed_stream_is_told_from_where_it_stands(make_stream, play, prompt, backbone):
    whole = make_stream(retrieval="prompt", record_every=1)
    play(whole, 7, scenes(prompt))
    resumed = resume(capture(whole), backbone)
    story = MemoryLog(GRID)
    story.skip(resumed.trace.records)
    chunks = play(resumed, 4, scenes(prompt))
    assert [story.chunk(c.index, c.trace) for c in chunks] == read_log(resumed.trace.records, GRID, 11)[7:]


def _shares(records) -> list[dict]:
    return [record for record in records if record["event"] == "share"]


@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"positions": "relative", "top_k": 2}, {"sink_frames": 0}])
def test_shares_are_measured_once_a_chunk_and_change_nothing(make_stream, play, prompt, settings):
    plain, metered = (make_stream(record_every=1, **settings) for _ in range(2))
    metered.meter = AttentionShareMeter()
    expected, chunks = (play(stream, 9, scenes(prompt)) for stream in (plain, metered))
    assert all(torch.equal(one.latents, other.latents) for one, other in zip(expected, chunks, strict=True))
    assert _shares(plain.trace.records) == []
    shares = _shares(metered.trace.records)
    assert [share["chunk"] for share in shares] == list(range(9))
    assert all(share["sink"] + share["bank"] + share["window"] == pytest.approx(1, abs=1e-4) for share in shares)
    assert shares[0]["bank"] == 0 and shares[-1]["bank"] > 0 and shares[-1]["window"] > 0
    assert (shares[-1]["sink"] > 0) == (settings.get("sink_frames", 3) > 0)


def test_the_share_is_that_of_the_softmax(make_stream, play, prompt, monkeypatch):
    """Asking every query gives the attention mass itself, worked out here from what the backend was given."""
    given = []
    stream = make_stream(steps=(1000,), record_every=1)
    stream.meter = AttentionShareMeter(queries=10_000)
    play(stream, 8, scenes(prompt))
    backend = stream.attention.backend
    monkeypatch.setattr(
        stream.attention, "backend", lambda q, k, v: (given.append((q, k.clone())), backend(q, k, v))[1]
    )
    (chunk,) = play(stream, 1, scenes(prompt))
    at, tokens = stream.cache.layout, stream.shape.tokens
    mass = torch.zeros(3)
    for q, k in given[:2]:  # two layers of the denoise step; the context pass follows
        frames = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1).unflatten(-1, (-1, tokens)).sum(-1).mean((0, 1, 2))
        mass += torch.stack([part.sum() for part in frames.split((at.bank, at.sink, at.window))]) / 2
    (share,) = _shares(chunk.trace)
    assert [share["bank"], share["sink"], share["window"]] == pytest.approx(mass.tolist(), abs=1e-4)
