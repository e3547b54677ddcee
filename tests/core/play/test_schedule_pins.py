"""Schedules that pin latent frames and recall them by name, played on a stream."""

import pytest
import torch

from memflow_core.config import MemoryConfig
from memflow_core.play import play as play_plan
from memflow_core.state import capture, resume
from tests.core.pinned import POLICIES, banks, encoded, events, latents, placed, standing

STORY = """
pin hero: 3.5s
pin villain: 57
pin: 0:01
0s: a
10c [hero]: b
14c [cut] [villain] [hero]: c
18c [blend]: d
"""


@pytest.mark.parametrize("retrieval", POLICIES)
def test_a_schedule_pins_and_recalls(make_stream, prompt, backbone, retrieval):
    """Latent frames 14 and 15, in chunks 4 and 5, and for good 4."""
    story = encoded(STORY, 22, [prompt(n) for n in range(4)])
    stream = make_stream(retrieval=retrieval, record_every=1)
    made, asked = [], {10: {14}, 14: {14, 15}, 18: set()}
    for chunk in play_plan(stream, story, 5):
        made.append(chunk)
        wanted = {4} | next((asked[start] for start in (18, 14, 10) if start <= chunk.index), set())
        away = {frame for frame in wanted if frame < stream.cache.layout.end} - standing(stream)
        assert all(away <= held for held in banks(stream))
        if chunk.index == 12:
            state = capture(stream)
    assert stream.pins == [(4, None), (14, "hero"), (15, "villain")]
    recalled = [(record["chunk"], record["names"]) for record in events(stream, "recall")]
    assert recalled == [(10, ["hero"]), (14, ["villain", "hero"]), (18, [])]
    again = list(play_plan(resume(state, backbone), story, 5))
    assert torch.equal(latents(again), latents(made[13:]))


def test_a_pin_added_behind_a_resumed_stream_is_taken_from_what_it_holds(make_stream, prompt, backbone):
    texts = [prompt(0), prompt(1)]
    stream = make_stream(retrieval="fifo", record_every=1)
    list(play_plan(stream, encoded("0s: a", 10, texts[:1]), 5))
    state = capture(stream)
    held = next(iter(banks(stream)[0]))
    resumed = resume(state, backbone)
    for _ in play_plan(resumed, encoded(f"pin hero: {held}l\n0s: a\n12c [hero]: b", 18, texts), 5):
        pass
    assert all(held in frames for frames in banks(resumed))
    with pytest.raises(ValueError, match="latent frame 7 is no longer held in memory"):
        next(play_plan(resume(state, backbone), encoded("pin hero: 7l\n0s: a\n12c [hero]: b", 18, texts), 5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retrieval": "none"}, "the schedule has pin 'hero' at 3.5 s, but memory retrieval is 'none'"),
        ({"retrieval": "reference"}, "memory retrieval is 'reference', which knows no pins"),
        ({"bank_frames": 2}, "segment 3 .*needs 3 pinned moments at once, but the memory bank holds 2"),
    ],
)
def test_a_schedule_that_memory_cannot_keep_is_refused_before_anything_runs(make_stream, prompt, settings, message):
    stream = make_stream(**settings)
    with pytest.raises(ValueError, match=message):
        next(play_plan(stream, encoded(STORY, 22, [prompt(n) for n in range(4)]), 5))
    assert stream.progress.chunk == 0


def test_pins_by_hand_count_beside_those_of_the_schedule():
    plan = placed(STORY, 22)
    plan.check_memory(MemoryConfig(bank_frames=4), also=[7])
    with pytest.raises(ValueError, match="segment 3 .*needs 4 pinned moments at once, but the memory bank holds 3"):
        plan.check_memory(MemoryConfig(bank_frames=3), also=[7])
    plan.check_memory(MemoryConfig(bank_frames=3), also=[7], done=18)


def test_pins_of_a_fresh_prompts_first_chunk_find_the_room_that_it_makes(make_stream, prompt):
    story = encoded("pin: 0.2s\npin: 1s\npin: 3s\n0s: a\n2.8s [fresh]: b", 9, [prompt(0), prompt(1)])
    stream = make_stream(bank_frames=2, record_every=1)
    chunks = list(play_plan(stream, story, 5))
    assert len(chunks) == 9 and stream.pins == [(12, None)]


def test_a_state_inside_a_story_is_not_forgotten_by_the_prompt_that_it_goes_on_with(make_stream, prompt, backbone):
    stream = make_stream(record_every=1)
    list(play_plan(stream, encoded("0s: a", 5, [prompt(0)]), 5))
    resumed = resume(capture(stream), backbone)
    list(play_plan(resumed, encoded("0s [fresh]: b", 8, [prompt(1)]), 5))
    assert resumed.cache.layout.began == 0 and resumed.progress.chunk == 8
