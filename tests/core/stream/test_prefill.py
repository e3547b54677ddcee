"""A stream that is given pictures: as its start, and for its bank to remember."""

import pytest
import torch

from memflow_core.state import capture, resume
from memflow_core.stream import EncodedImages, InitialFrames, load_initial_frames


def latents(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 16, frames, 4, 6, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def start(prompt):
    return lambda chunks: InitialFrames(start=EncodedImages(latents(3 * chunks), prompt(5)))


@pytest.fixture
def portraits(prompt):
    return lambda count, seed=1: InitialFrames(remembered=(EncodedImages(latents(count, seed), prompt(6)),))


def banked(stream) -> set[int]:
    return set(stream.memory.bank.listed_frames().unique().tolist())


def test_a_start_is_what_the_stream_would_have_made(make_stream, play, prompt):
    """Given its own chunks, a stream goes on as the one that made them."""
    made = make_stream(retrieval="attention", record_every=1)
    chunks = play(made, 8, {0: (prompt(5),)})
    given = make_stream(retrieval="attention", record_every=1)
    load_initial_frames(
        given, InitialFrames(EncodedImages(torch.cat([chunk.latents for chunk in chunks[:2]], dim=2), prompt(5)))
    )
    for chunk in chunks[2:]:
        assert torch.equal(next(given).latents, chunk.latents)


@pytest.mark.parametrize("retrieval", ["prompt", "attention", "similarity", "fifo", "none", "reference"])
def test_a_long_start_fills_sink_window_and_bank(make_stream, start, retrieval):
    stream = make_stream(retrieval=retrieval, record_every=1)
    load_initial_frames(stream, start(9))
    assert stream.progress.chunk == 9 and (stream.cache.layout.sink, stream.cache.layout.window) == (3, 9)
    assert stream.memory.bank.listed_frames().shape[-1] == (0 if retrieval == "none" else 3)
    assert next(stream).start == 27


def test_what_is_given_changes_what_is_made_and_is_read_only_once(make_stream, start, portraits, prompt):
    streams = [make_stream(), make_stream(), make_stream()]
    load_initial_frames(streams[1], start(1))
    load_initial_frames(streams[2], portraits(2))
    made = []
    for stream in streams:
        stream.set_prompt(prompt(0))
        chunk = next(stream)
        made.append(chunk.latents)
    assert [forward.kind for forward in chunk.forwards] == ["picture"] * 2 + ["denoise"] * 2 + ["context"]
    assert not torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


@pytest.mark.parametrize("retrieval", ["prompt", "attention", "similarity", "fifo"])
def test_a_remembered_picture_stays_for_good(make_stream, play, prompt, portraits, retrieval):
    stream = make_stream(retrieval=retrieval, record_every=1, bank_frames=3)
    load_initial_frames(stream, portraits(2))
    play(stream, 14, {0: (prompt(0),), 5: (prompt(1), "recache"), 9: (prompt(2), "cut")})
    frames = stream.memory.bank.listed_frames()
    assert all({-2, -3} <= set(layer.tolist()) for layer in frames[:, 0])
    assert len(banked(stream) - {-2, -3}) >= 1
    assert [r["frame"] for r in stream.trace.records if r["event"] == "pin"] == [-2, -3]


@pytest.mark.parametrize("retrieval", ["prompt", "attention", "similarity", "fifo"])
@pytest.mark.parametrize("content", ["exact", "compact"])
def test_pictures_can_join_a_story_that_is_under_way(
    make_stream, play, prompt, portraits, backbone, retrieval, content
):
    stream = make_stream(retrieval=retrieval, record_every=1)
    play(stream, 9, {0: (prompt(0),)})
    state = capture(stream)
    going = resume(state if content == "exact" else state.compact(), backbone)
    load_initial_frames(going, portraits(1))
    plain = next(resume(state, backbone)).latents
    assert not torch.equal(next(going).latents, plain)
    play(going, 3, {10: (prompt(1), "recache")})
    assert -2 in banked(going)
    again = resume(capture(going), backbone)
    load_initial_frames(again, portraits(1, seed=2))
    play(again, 2, {})
    assert {-2, -3} <= banked(again)


@pytest.mark.parametrize(
    "archive", [{}, {"archive": "latents"}, {"archive": "keys"}, {"archive": "keys", "archive_rule": "attention"}]
)
@pytest.mark.parametrize("switch", ["recache", "cut", "fresh"])
def test_pictures_for_a_full_bank_meet_a_change_of_prompt(
    make_stream, play, prompt, portraits, backbone, archive, switch
):
    """With `attention` they wait for the coming chunk's queries, which a change of prompt comes before."""
    memory = {"bank_keys": "alone"} if archive.get("archive") == "latents" else {}
    stream = make_stream(retrieval="attention", record_every=1, **archive, **memory)
    play(stream, 9, {0: (prompt(0),)})
    going = resume(capture(stream), backbone)
    load_initial_frames(going, portraits(1))
    play(going, 3, {9: (prompt(1), switch)})
    # a fresh story remembers nothing of before
    assert (-2 in banked(going)) == (switch != "fresh")
    play(resume(capture(going), backbone), 2, {})


def test_a_story_with_pictures_is_saved_and_goes_on(make_stream, play, prompt, start, portraits, backbone):
    stream = make_stream(retrieval="similarity", record_every=1)
    load_initial_frames(stream, InitialFrames(start(2).start, portraits(1).remembered))
    play(stream, 6, {2: (prompt(0), "recache"), 5: (prompt(1), "recache")})
    state = capture(stream)
    exact, compact = resume(state, backbone), resume(state.compact(), backbone)
    # a picture was read alone, so nothing is lost of it
    slot = (stream.cache.frames[0, 0] == -2).nonzero()[0, 0]
    assert torch.equal(compact.cache.k[:, :, :, slot], stream.cache.k[:, :, :, slot])
    expected = play(stream, 3, {7: (prompt(2), "recache")})
    for chunk, made in zip(expected, play(exact, 3, {7: (prompt(2), "recache")}), strict=True):
        assert torch.equal(made.latents, chunk.latents)


BAD = {
    "too many": ({"bank_frames": 2}, "portraits", 3, "3 pictures are to be remembered, but the bank holds 2"),
    "no bank": ({"retrieval": "none"}, "portraits", 1, "retrieval is 'none'"),
    "published": ({"retrieval": "reference"}, "portraits", 1, "retrieval is 'reference'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_before_the_model_runs(make_stream, portraits, name):
    settings, _, count, message = BAD[name]
    calls = []
    stream = make_stream(on_forward=calls.append, **settings)
    with pytest.raises(ValueError, match=message):
        load_initial_frames(stream, portraits(count))
    assert calls == []


def test_other_sizes_and_prompts_are_refused(make_stream, prompt, start):
    calls = []

    def images(frames, rows, columns, text):
        return EncodedImages(torch.zeros(1, 16, frames, rows, columns), text)

    stream = make_stream(on_forward=calls.append)
    for given, message in (
        (
            InitialFrames(EncodedImages(torch.zeros(1, 16, 3, 8, 6), prompt(0))),
            "48 x 64 pixels, but the video is 48 x 32",
        ),
        (InitialFrames(images(4, 4, 6, prompt(0))), "whole chunks of 3"),
        (InitialFrames(images(3, 4, 6, torch.zeros(1, 4, 9))), "prompt embedding"),
        (
            InitialFrames(remembered=(EncodedImages(torch.zeros(1, 16, 1, 4, 6), torch.zeros(1, 4, 9)),)),
            "prompt embedding",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            load_initial_frames(stream, given)
    assert calls == []
    load_initial_frames(stream, start(1))
    with pytest.raises(ValueError, match="come before all others"):
        load_initial_frames(stream, start(1))
