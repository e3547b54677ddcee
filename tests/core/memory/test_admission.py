"""Admission to a full bank: what is new enters, and what a coming prompt will ask for stays."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.keep import Keep
from memflow_core.memory.admission import kept_ahead
from memflow_core.play import EncodedSchedule, play
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream

EVERY = {"record_every": 1, "sink_frames": 0}


def retrievals(stream) -> list[dict]:
    """Decisions about a full bank."""
    return [one for one in stream.trace.records if one["event"] == "retrieve" and one["scores"] is not None]


def mean_keys(stream, made: dict[int, torch.Tensor]) -> None:
    """Note the mean keys [layers, heads, head_dim] of the newest chunk's first frame, as it stands in the window."""
    frame = stream.cache.layout.end - 3
    made[frame] = stream.memory.bank.view_frame(frame).mean_k[:, 0].clone()


# -- novelty ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retrieval", ["prompt", "similarity", "fifo"])
def test_a_frame_enters_that_is_no_nearer_to_the_bank_than_its_frames_are_to_one_another(
    make_stream, play, prompt, retrieval
):
    stream, made = make_stream(retrieval=retrieval, admission="novelty", **EVERY), {}
    changes = {3 * number: (prompt(number % 3),) for number in range(7)}
    for _ in range(21):
        play(stream, 1, changes)
        mean_keys(stream, made)
    entered = []
    for record in retrievals(stream):
        candidate = record["candidate"]
        for layer, (before, after) in enumerate(zip(record["before"], record["after"], strict=True)):
            keys = {frame: made[frame][layer].flatten() for frame in (*before[0], candidate)}
            new = min(float((keys[candidate] - keys[frame]).norm()) for frame in before[0])
            among = min(float((keys[a] - keys[b]).norm()) for a in before[0] for b in before[0] if a < b)
            if abs(new - among) < 1e-5:
                continue
            # `similarity` may keep out what is new as well
            assert candidate not in after[0] or new > among
            assert retrieval == "similarity" or (candidate in after[0]) == (new > among)
            entered.append(candidate in after[0])
    assert True in entered and False in entered


def test_a_bank_of_one_takes_what_the_clock_takes(make_stream, play, prompt):
    banks = []
    for admitted in ("clock", "novelty"):
        stream = make_stream(bank_frames=1, admission=admitted, **EVERY)
        play(stream, 9, {0: (prompt(0),)})
        banks.append(stream.memory.bank.listed_frames().tolist())
    assert banks[0] == banks[1]


def test_a_pinned_frame_enters_whatever_it_shows(make_stream, play, prompt):
    stream = make_stream(admission="novelty", pins=(18,), **EVERY)
    play(stream, 14, {0: (prompt(0),)})
    assert all(18 in held for layer in stream.memory.bank.listed_frames().tolist() for held in layer)


# -- looking ahead ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retrieval", ["prompt", "similarity"])
def test_what_a_coming_prompt_fits_best_is_not_dropped(make_stream, play, prompt, retrieval, monkeypatch):
    """At every decision, checked beside the rule itself: of each coming prompt the best frame, but for one place."""
    seen = []

    def noted(bank, candidate, fit, coming, pooled, stays):
        kept = kept_ahead(bank, candidate, fit, coming, pooled, stays)
        fits = [fit(bank, candidate, keys, pooled) for keys in coming]
        seen.append((bank.listed_frames().clone(), candidate.frame, fits, kept))
        return kept

    monkeypatch.setattr("memflow_core.memory.narrative.kept_ahead", noted)
    stream = make_stream(retrieval=retrieval, look_ahead=True, **EVERY)
    later = [prompt(1), prompt(0), prompt(4)]
    changes = {0: (prompt(0),), 3: (prompt(1),), 6: (prompt(2),)}
    stream.look_ahead(later)
    play(stream, 16, changes)
    assert len(seen) == len(retrievals(stream)) > 5
    kept_some = 0
    for (frames, candidate, fits, kept), record in zip(seen, retrievals(stream), strict=True):
        for layer in range(len(frames)):
            wanted: list[int] = []
            for scores in fits:
                best = int(scores[layer, 0].argmax())
                if best < 3 and best not in wanted and len(wanted) < 2:
                    wanted.append(best)
            held = frames[layer, 0].tolist()
            assert kept[layer, 0].nonzero().flatten().tolist() == sorted(wanted)
            assert {held[place] for place in wanted} <= set(record["after"][layer][0])
            kept_some += len(wanted)
            if retrieval == "prompt":
                assert candidate in record["after"][layer][0]
    assert kept_some


def test_beside_pins_one_place_stays_free(make_stream, play, prompt):
    stream = make_stream(retrieval="prompt", look_ahead=True, bank_frames=3, pins=(0,), **EVERY)
    stream.look_ahead([prompt(number) for number in range(1, 9)])
    play(stream, 16, {0: (prompt(0),)})
    # by the paper's rule the newest always enters
    assert retrievals(stream)
    for record in retrievals(stream):
        assert all(record["candidate"] in layer[0] for layer in record["after"])


def test_it_changes_what_the_bank_holds_and_is_off_by_default(make_stream, play, prompt):
    banks = {}
    for name, settings in {"on": {"look_ahead": True}, "off": {}}.items():
        stream = make_stream(retrieval="similarity", **EVERY, **settings)
        stream.look_ahead([prompt(0)])
        play(stream, 15, {0: (prompt(0),), 4: (prompt(1),)})
        banks[name] = {frame for layer in stream.memory.bank.listed_frames().tolist() for frame in layer[0]}
    # the story's start is asked for again
    assert min(banks["on"]) < 12 <= min(banks["off"])


@pytest.fixture
def made(backbone, prompt):
    """made(text, memory, keep) -> latents and the chunks that were made, of a schedule as `play` plays it."""

    def make(text: str, memory: dict, keep: Keep | None = None, chunks: int = 15):
        schedule = read_schedule(text)
        plan = schedule.place(ChunkGrid(3), Time(chunks, "chunks"))
        words = [prompt(sum(map(ord, segment.prompt))) for segment in plan.segments]
        sampling = SamplingConfig(steps=(1000, 500))
        stream = Stream(backbone, LatentShape(4, 6), memory=MemoryConfig(**memory), sampling=sampling, frames=100)
        played = list(play(stream, EncodedSchedule(schedule, plan, words), 5, keep=keep))
        return torch.cat([chunk.latents for chunk in played], dim=2), [c.index for c in played if c.forwards], stream

    return make


AHEAD = {"retrieval": "similarity", "look_ahead": True, **EVERY}
STORY = "0c: a robot\n3c: a cat\n7c: a fish\n12c: {}"


def test_a_schedule_that_is_played_is_known_beforehand(made):
    robot, other = (made(STORY.format(last), AHEAD)[0] for last in ("a robot", "a fish"))
    # the last prompt is far away, and chunks before it differ
    assert not torch.equal(robot[:, :, 21:36], other[:, :, 21:36])
    robot, other = (made(STORY.format(last), EVERY)[0] for last in ("a robot", "a fish"))
    assert torch.equal(robot[:, :, :36], other[:, :, :36])


def test_what_is_asked_for_behind_a_fresh_prompt_is_not_looked_for(made):
    text = "0c: a robot\n3c: a cat\n7c [fresh]: a fish\n12c: {}"
    robot, other = (made(text.format(last), AHEAD)[0] for last in ("a robot", "a ghost"))
    assert torch.equal(robot[:, :, :21], other[:, :, :21])


def test_a_story_that_looks_ahead_keeps_no_moments_and_says_so(made, tmp_path):
    told = []
    for last in ("a robot", "a fish"):
        keep = Keep(tmp_path, 1, on_told=told.append)
        latents, chunks, _ = made(STORY.format(last), AHEAD, keep)
        assert chunks == list(range(15)) and torch.equal(latents, made(STORY.format(last), AHEAD)[0])
    assert told == ["no moments are kept: memory looks ahead, so a beginning depends on all that follows."] * 2


def test_a_state_goes_on_bit_by_bit(made, backbone, prompt, tmp_path):
    whole, _, _ = made(STORY.format("a robot"), {**AHEAD, "admission": "novelty"})
    schedule = read_schedule(STORY.format("a robot"))
    plan = schedule.place(ChunkGrid(3), Time(15, "chunks"))
    prompts = EncodedSchedule(schedule, plan, [prompt(sum(map(ord, s.prompt))) for s in plan.segments])
    memory = MemoryConfig(**AHEAD, admission="novelty")
    sampling = SamplingConfig(steps=(1000, 500))
    stream = Stream(backbone, LatentShape(4, 6), memory=memory, sampling=sampling, frames=100)
    for chunk in play(stream, prompts, 5):
        if chunk.index == 8:
            capture(stream).save(tmp_path / "state.safetensors")
    state = StreamState.load(tmp_path / "state.safetensors")
    assert (state.memory.look_ahead, state.memory.admission) == (True, "novelty")
    rest = torch.cat([chunk.latents for chunk in play(resume(state, backbone), prompts, 5)], dim=2)
    assert torch.equal(rest, whole[:, :, 27:])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"admission": "new"}, "admission is 'new', but must be one of clock, novelty"),
        ({"admission": "novelty", "retrieval": "reference"}, "set admission to 'clock'"),
        ({"admission": "novelty", "retrieval": "none"}, "set admission to 'clock'"),
        ({"look_ahead": 1}, "look_ahead is 1, but must be True or False"),
        ({"look_ahead": True, "retrieval": "attention"}, "choose 'prompt' or 'similarity'"),
        ({"look_ahead": True, "retrieval": "reference"}, "choose 'prompt' or 'similarity'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValueError) as error:
        MemoryConfig(**settings)
    assert words in str(error.value)
