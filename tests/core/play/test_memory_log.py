"""The memory log in seconds and video frames, and the shares of attention."""

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


def by_frame(frames) -> dict:
    return {remembered.frame: remembered for remembered in frames}


def test_a_remembered_frame_has_its_place_in_the_video():
    log = MemoryLog(GRID)
    memory = log.read(0, [{"event": "record", "chunk": 0, "frame": frame} for frame in (0, 1, 3, 17)])
    assert [(frame.frame, frame.time_s, frame.chunk) for frame in memory.recorded] == [
        (0, 0.0, 0),
        (1, 0.0625, 0),
        (9, 0.5625, 1),
        (65, 4.0625, 5),
    ]


def test_an_initial_picture_has_a_number_and_no_time():
    memory = MemoryLog(GRID).read(0, [{"event": "pin", "chunk": 0, "frame": -3}, retrieve(0, -3, [[[]]], [[[-3]]])])
    (remembered,) = memory.bank
    assert (remembered.frame, remembered.chunk, remembered.label, remembered.pinned) == (-3, -1, "picture 2", True)


def choose(chunk, frames, scores, before, after, archived=9):
    record = {"event": "choose", "chunk": chunk, "rule": "words", "archived": archived, "frames": frames}
    return {**record, "scores": scores, "first_layer": 0, "before": before, "after": after}


def test_what_comes_from_the_archive_is_told_with_its_scores():
    log = MemoryLog(GRID)
    log.read(9, [choose(9, [], [[]], [[[]], [[]]], [[[3]], [[3]]])])
    memory = log.read(30, [choose(30, [9, 0, 3], [[2.0, 1.5, -1.0]], [[[3]], [[3]]], [[[0, 9]], [[0, 9]]])])
    archive = memory.archive
    assert (archive.rule, archive.moments) == ("words", 9)
    assert [(frame.chunk, frame.score) for frame in archive.recalled] == [(0, 1.5), (3, 2.0)]
    assert [frame.chunk for frame in archive.best] == [3, 0, 1]
    assert [frame.chunk for frame in memory.dropped] == [1]
    told = json.loads(json.dumps(memory.to_dict()))["archive"]
    assert told["moments"] == 9 and [frame["score"] for frame in told["best"]] == [2.0, 1.5, -1.0]
    assert "archive" not in log.read(31, []).to_dict()


def test_frames_enter_leave_and_are_refused():
    log = MemoryLog(GRID)
    log.read(3, [retrieve(3, 0, [[[]], [[]]], [[[0]], [[0]]])])
    # the first layer lets frame 3 in beside 0, the second swaps
    memory = log.read(6, [retrieve(6, 3, [[[0]], [[0]]], [[[0, 3]], [[3]]], [[[0.5]], [[0.25]]])])
    bank = by_frame(memory.bank)
    assert {frame: held.layers for frame, held in bank.items()} == {0: 0.5, 9: 1.0}
    assert bank[0].score == 0.375 and bank[9].score is None and memory.dropped == ()
    # a candidate that competes has the last score
    memory = log.read(9, [retrieve(9, 6, [[[0, 3]], [[3]]], [[[3]], [[3]]], [[[1.0, 2.0, 0.5]], [[4.0, 0.7]]])])
    gone = by_frame(memory.dropped)
    assert {frame: left.score for frame, left in gone.items()} == {0: 1.0, 21: 0.6}
    assert all(left.layers == 0 for left in gone.values()) and by_frame(memory.bank)[9].score == 3.0


def test_the_age_of_a_frame_is_no_score():
    memory = MemoryLog(GRID).read(1, [retrieve(1, 3, [[[0]]], [[[3]]], [[[0.0]]], policy="fifo")])
    assert [remembered.score for remembered in memory.bank] == [None]
    memory = MemoryLog(GRID).read(1, [retrieve(1, 3, [[[0]]], [[[0]]], [[[0.0]]], policy="fifo")])
    assert [(remembered.frame, remembered.score) for remembered in memory.dropped] == [(9, None)]


def test_records_of_single_layers_are_averaged():
    records = [retrieve(4, 3, [[[0]]], [[[0, 3]]], [[[1.0, 2.0]]], layer) for layer in range(3)]
    memory = MemoryLog(GRID).read(4, records)
    assert {remembered.frame: (remembered.layers, remembered.score) for remembered in memory.bank} == {
        0: (1.0, 1.0),
        9: (1.0, 2.0),
    }


@pytest.mark.parametrize("retrieval", ["reference", "prompt", "similarity", "attention", "fifo", "none"])
def test_the_log_ends_with_what_the_bank_holds(make_stream, play, prompt, retrieval):
    stream = make_stream(retrieval=retrieval, record_every=1, batch=2)
    stream.meter = AttentionShareMeter()
    chunks = play(stream, 18, scenes(prompt))
    log = MemoryLog(GRID)
    memories = [log.chunk(chunk) for chunk in chunks]
    assert memories == read_log(stream.trace.records, GRID, 18)
    lists = [set(held) for layer in stream.memory.bank.listed_frames().tolist() for held in layer]
    frames = set().union(*lists)
    assert {held.frame: held.layers for held in memories[-1].bank} == {
        max(0, 4 * frame - 3): pytest.approx(sum(frame in held for held in lists) / len(lists), abs=1e-4)
        for frame in frames
    }
    json.dumps([memory.to_dict() for memory in memories])


def test_pins_are_marked_however_they_were_made(make_stream, play, prompt):
    stream = make_stream(retrieval="prompt", record_every=1, pins=(4,))
    chunks = play(stream, 3, scenes(prompt))
    stream.pin(6)
    chunks += play(stream, 12, scenes(prompt))
    log = MemoryLog(GRID, pins=(4,))
    memories = [log.chunk(chunk) for chunk in chunks]
    assert {remembered.frame for remembered in memories[-1].bank if remembered.pinned} == {13, 21}


def test_a_pin_has_a_name_and_can_be_taken_back():
    log = MemoryLog(GRID)
    held = retrieve(3, 4, [[[]]], [[[4]]])
    named = log.read(3, [{"event": "pin", "chunk": 3, "frame": 4, "name": "hero"}, held]).bank[0]
    assert (named.pinned, named.name) == (True, "hero")
    freed = log.read(4, [{"event": "unpin", "chunk": 4, "frame": 4, "name": "hero"}]).bank[0]
    assert (freed.pinned, freed.name) == (False, None)


def test_a_frame_pinned_for_good_and_by_name_stays_pinned_without_the_name():
    log = MemoryLog(GRID, pins=[4])
    held = retrieve(3, 4, [[[]]], [[[4]]])
    named = log.read(3, [{"event": "pin", "chunk": 3, "frame": 4, "name": "hero"}, held]).bank[0]
    assert (named.pinned, named.name) == (True, "hero")
    freed = log.read(4, [{"event": "unpin", "chunk": 4, "frame": 4, "name": "hero"}]).bank[0]
    assert (freed.pinned, freed.name) == (True, None)


def test_the_log_of_a_resumed_stream_starts_where_it_stands(make_stream, play, prompt, backbone):
    whole = make_stream(retrieval="prompt", record_every=1)
    play(whole, 7, scenes(prompt))
    resumed = resume(capture(whole), backbone)
    log = MemoryLog(GRID)
    log.skip(resumed.trace.records)
    chunks = play(resumed, 4, scenes(prompt))
    assert [log.chunk(c) for c in chunks] == read_log(resumed.trace.records, GRID, 11)[7:]


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
    assert all(sum(share["even"]) == pytest.approx(1, abs=1e-4) for share in shares)
    if "top_k" not in settings:
        # no frame is left out, so that an even share is one of the frames in sight
        at = metered.cache.layout
        assert shares[-1]["even"] == pytest.approx(
            [n / (at.bank + at.sink + at.window) for n in (at.sink, at.bank, at.window)]
        )


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
