"""Going on from kept moments: the chunks of a run from nothing, bit for bit, and only what is new is made."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from memflow_core.keep import Keep
from memflow_core.play import EncodedSchedule, play
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.state import capture

STORY = """pin hero: 0.5s
pin: 1s
0s: a robot
3c: a cat
5c [blend 2]: a ghost
7c [cut]: a bird
9c [soft] [seed 9]: a fish
11c [hero]: the robot returns"""
CHUNKS = 13


@pytest.fixture
def encoded(prompt):
    """encoded(text, chunks): a schedule whose embeddings follow from its prompts' words."""

    def make(text: str = STORY, chunks: int = CHUNKS) -> EncodedSchedule:
        schedule = read_schedule(text)
        plan = schedule.place(ChunkGrid(), Time(chunks, "chunks"))
        words = [sum(map(ord, segment.prompt)) for segment in plan.segments]
        return EncodedSchedule(schedule, plan, [prompt(number) for number in words])

    return make


@pytest.fixture
def run(make_stream, tmp_path):
    """run(story, keep) -> (latents, chunks that were made, final state); memory has pins and a bank that is full."""

    def play_it(story: EncodedSchedule, keep: Keep | None, seed: int = 5, **settings):
        stream = make_stream(record_every=1, seed=0, **settings)
        chunks = list(play(stream, story, seed, keep=keep))
        made = [chunk.index for chunk in chunks if chunk.forwards]
        return torch.cat([chunk.latents for chunk in chunks], dim=2), made, capture(stream)

    return play_it


def assert_same(first, second) -> None:
    (latents, _, state), (others, _, other) = first, second
    assert torch.equal(latents, others)
    assert state.meta == other.meta and state.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(state.tensors[name], other.tensors[name]) for name in state.tensors)


# what is changed, and the chunk that the story is made from then
CHANGES = {
    "the last prompt": (("the robot returns", "the robot sleeps"), 11),
    "a prompt under its own seed": (("a fish", "a whale"), 9),
    "another take": (("seed 9", "seed 10"), 9),
    "the prompt after a cut": (("a bird", "a plane"), 7),
    "no cut": (("[cut]", "[soft]"), 7),
    "a longer blend": (("blend 2", "blend 1"), 5),
    "the second prompt": (("a cat", "a dog"), 3),
    "the first prompt": (("a robot", "a toad"), 0),
    "a later start": (("11c", "12c"), 9),
    "an earlier start": (("11c", "10c"), 9),
    "one prompt more": (("11c", "10c: a stone\n11c"), 9),
    "a later pin by name": (("pin: 1s", "pin: 1s\npin late: 7c"), 7),
    "an earlier pin by name": (("pin: 1s", "pin: 1s\npin early: 1c"), 0),
    "no recall": ((" [hero]", ""), 11),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_story_is_made_from_the_change_on_as_from_nothing(encoded, run, tmp_path, change):
    (old, new), expected = CHANGES[change]
    told = []
    run(encoded(), Keep(tmp_path, 1, on_told=told.append))
    changed = encoded(STORY.replace(old, new))
    keep = Keep(tmp_path, 1, on_told=told.append)
    again = run(changed, keep)
    assert again[1] == list(range(expected, CHUNKS)) and keep.resumed_from == expected
    assert_same(again, run(changed, None))
    assert told == []


@pytest.mark.parametrize("settings", [{}, {"cache": "fp8"}, {"top_k": 2}, {"retrieval": "fifo"}])
def test_settings_of_memory_go_on_exactly(encoded, run, tmp_path, settings):
    story, changed = encoded(), encoded(STORY.replace("returns", "dances"))
    first = run(story, Keep(tmp_path, 1), **settings)
    assert_same(first, run(story, None, **settings))
    again = run(changed, Keep(tmp_path, 1), **settings)
    assert again[1] == [11, 12]
    assert_same(again, run(changed, None, **settings))


def test_a_longer_story_goes_on_where_its_last_prompt_starts(encoded, run, tmp_path):
    run(encoded(), Keep(tmp_path, 1))
    longer = encoded(chunks=15)
    again = run(longer, Keep(tmp_path, 1))
    assert again[1] == [11, 12, 13, 14]
    assert_same(again, run(longer, None))
    # a new prompt at the end of the old story starts at a moment, too
    more = encoded(f"{STORY}\n15c: the end", 17)
    again = run(more, Keep(tmp_path, 1))
    assert again[1] == [15, 16]
    assert_same(again, run(more, None))


def test_a_long_prompt_has_moments_inside(encoded, run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["memflow_core.keep.beginning"], "PART_FRAMES", 6)
    text = "0s: a robot\n7c: a cat"
    run(encoded(text, 9), Keep(tmp_path, 1))
    changed = encoded("0s: a robot\n5c: a cat", 9)
    again = run(changed, Keep(tmp_path, 1))
    assert again[1] == [4, 5, 6, 7, 8]
    assert_same(again, run(changed, None))


@pytest.mark.parametrize("other", [{"seed": 6}, {"window_frames": 6}, {"steps": (1000, 250)}, {"bank_frames": 4}])
def test_another_seed_or_setting_is_another_story(encoded, run, tmp_path, other):
    run(encoded(), Keep(tmp_path, 1))
    keep = Keep(tmp_path, 1)
    assert run(encoded(), keep, **other)[1] == list(range(CHUNKS)) and keep.resumed_from == 0


def test_another_model_is_another_story(encoded, run, tmp_path, backbone):
    run(encoded(), Keep(tmp_path, 1))
    weight = backbone.tree.blocks[1].ffn[2].weight
    with torch.no_grad():
        weight.view(-1)[17] += 2**-12
    assert run(encoded(), Keep(tmp_path, 1))[1] == list(range(CHUNKS))


def test_a_story_that_is_left_goes_on_from_its_last_moment(encoded, run, make_stream, tmp_path):
    story = encoded()
    with_moments = play(make_stream(record_every=1, seed=0), story, 5, keep=Keep(tmp_path, 1))
    for _ in range(8):
        next(with_moments)
    with_moments.close()
    again = run(story, Keep(tmp_path, 1))
    assert again[1] == list(range(7, CHUNKS))
    assert_same(again, run(story, None))


def test_a_budget_of_zero_leaves_no_file(encoded, run, tmp_path):
    assert_same(run(encoded(), Keep(tmp_path / "kept", 0)), run(encoded(), None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["moment", "latents"])
def test_a_damaged_file_is_told_skipped_and_written_anew(encoded, run, tmp_path, kind):
    story, told = encoded(), []
    run(story, Keep(tmp_path, 1))
    newest = max(tmp_path.glob(f"{kind}_*"), key=lambda path: path.stat().st_size)
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes(content)
    changed = encoded(STORY.replace("returns", "dances"))
    again = run(changed, Keep(tmp_path, 1, on_told=told.append))
    assert_same(again, run(changed, None))
    assert len(told) <= 1 and all("skipped" in sentence and "\n" not in sentence for sentence in told)
    told.clear()
    again = run(encoded(STORY.replace("returns", "sings")), Keep(tmp_path, 1, on_told=told.append))
    assert told == [] and again[1] == [11, 12]


def test_a_full_disk_ends_the_keeping_and_not_the_story(encoded, run, tmp_path, monkeypatch):
    told = []

    def full(self, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("memflow_core.state.stream_state.Draft.finish", lambda *_, **__: full(None, None))
    made = run(encoded(), Keep(tmp_path, 1, on_told=told.append))
    assert_same(made, run(encoded(), None))
    assert told == ["no more moments are kept: No space left on device; the story itself goes on."]
    assert not list(tmp_path.glob("moment_*")) and not list(tmp_path.glob(".memflow-draft-*"))


def test_a_stream_that_has_begun_is_told_and_not_kept(encoded, make_stream, tmp_path):
    told, stream = [], make_stream(record_every=1)
    chunks = play(stream, encoded(), 5)
    next(chunks)
    rest = list(play(stream, encoded(), 5, keep=Keep(tmp_path, 1, on_told=told.append)))
    assert len(rest) == CHUNKS - 1 and len(told) == 1 and list(tmp_path.iterdir()) == []


def test_a_negative_budget_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is -1 GB, but must be 0"):
        Keep(tmp_path, -1)


def test_live_changes_are_part_of_the_beginning(encoded, make_stream, prompt, tmp_path):
    story = encoded()
    inserted = story.with_prompt(8, "a bee", "recache", prompt(77))
    keep = Keep(tmp_path, 1)
    stream = make_stream(record_every=1, seed=0)
    first = list(play(stream, story, 5, lambda chunk: inserted if chunk >= 8 else story, keep=keep))
    keep = Keep(tmp_path, 1)
    again = list(play(make_stream(record_every=1, seed=0), replace(inserted), 5, keep=keep))
    assert keep.resumed_from == 11
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.latents, other.latents)
