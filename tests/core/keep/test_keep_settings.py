"""Kept moments under every kind of memory and sampling: a story goes on exactly, another setting is another story."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.keep import Keep
from memflow_core.play import EncodedSchedule, play
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.state import capture
from memflow_core.stream import Stream

CHUNKS = 9
STORY = "0c: a robot\n2c [cut]: a cat\n4c [soft] [seed 9]: a fish\n6c: a bird\n7c: the robot returns"
JUMPS = "0c: a robot\n2c [jump]: a cat\n4c [soft] [seed 9]: a fish\n6c [jump]: a bird\n7c: the robot returns"
FRESH = STORY.replace("[cut]", "[fresh]")
ALONE = {"bank_keys": "alone", "record_every": 1}
# settings of memory, of sampling, and the story
KINDS = {
    "keys made alone": (ALONE, {}, STORY),
    "an archive by words": ({**ALONE, "archive": "latents"}, {}, STORY),
    "an archive by similarity": ({**ALONE, "archive": "latents", "archive_rule": "similarity"}, {}, STORY),
    "an archive by keys": ({**ALONE, "archive": "latents", "archive_rule": "keys"}, {}, STORY),
    "an archive by attention": ({**ALONE, "archive": "latents", "archive_rule": "attention"}, {}, STORY),
    "an archive of keys": ({"record_every": 1, "archive": "keys"}, {}, STORY),
    "an archive of keys without room": ({"record_every": 1, "archive": "keys", "archive_gb": 2e-5}, {}, STORY),
    "layers that read the bank": ({"bank_layers": (1,), "record_every": 1}, {}, STORY),
    "the first chunk of a shot": ({"retrieval": "shots", "bank_frames": 3}, {}, JUMPS),
    "an averaged sink": ({"sink": "average", "sink_decay": 0.9}, {}, JUMPS),
    "refreshed keys": ({"record_every": 1}, {"refresh": True}, STORY),
    "chunks of 1": ({"record_every": 3, "window_frames": 6}, {"chunk_frames": 1}, STORY),
    "chunks of 8": ({"window_frames": 16, "record_every": 1}, {"chunk_frames": 8}, STORY),
    "steps of the first chunk": ({}, {"first_steps": (1000, 750, 250)}, STORY),
    "a new story": ({"record_every": 1}, {"first_steps": (1000, 750, 250)}, FRESH),
    "a new story and an archive": ({**ALONE, "archive": "latents"}, {}, FRESH),
    "UniPC": ({}, {"solver": "unipc", "steps": (1000, 600, 300)}, JUMPS),
    "steps that are not warped": ({}, {"warp": False}, STORY),
}


@pytest.fixture
def run(backbone, prompt):
    """run(text, memory, sampling, keep) -> latents, chunks that were made, the final state."""

    def play_it(text: str, memory: dict, sampling: dict, keep: Keep | None = None):
        sampled = SamplingConfig(**{"steps": (1000, 500), **sampling})
        schedule = read_schedule(text)
        plan = schedule.place(ChunkGrid(sampled.chunk_frames), Time(CHUNKS, "chunks"))
        words = [prompt(sum(map(ord, segment.prompt))) for segment in plan.segments]
        stream = Stream(backbone, LatentShape(4, 6), memory=MemoryConfig(**memory), sampling=sampled, frames=100)
        chunks = list(play(stream, EncodedSchedule(schedule, plan, words), 5, keep=keep))
        made = [chunk.index for chunk in chunks if chunk.forwards]
        return torch.cat([chunk.latents for chunk in chunks], dim=2), made, capture(stream)

    return play_it


@pytest.mark.parametrize("kind", KINDS)
def test_a_story_goes_on_as_from_nothing(run, tmp_path, kind):
    memory, sampling, text = KINDS[kind]
    run(text, memory, sampling, Keep(tmp_path, 1))
    for old, new, first in (("returns", "sleeps", 7), ("a fish", "a whale", 4)):
        changed = text.replace(old, new)
        latents, made, state = run(changed, memory, sampling, Keep(tmp_path, 1))
        expected, every, end = run(changed, memory, sampling)
        assert made == every[first:]
        assert torch.equal(latents, expected)
        assert state.meta == end.meta and state.tensors.keys() == end.tensors.keys()
        assert all(torch.equal(state.tensors[name], end.tensors[name]) for name in end.tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_each_setting_makes_a_story_of_its_own(run, tmp_path, kind):
    memory, sampling, text = KINDS[kind]
    run(text, {}, {}, Keep(tmp_path, 1))
    keep = Keep(tmp_path, 1)
    run(text, memory, sampling, keep)
    assert keep.resumed_from == 0
    for name, value in (("sink_decay", 0.5), ("archive_rule", "keys"), ("bank_layers", (0,)), ("archive_gb", 4.0)):
        if name in memory and memory[name] != value:
            keep = Keep(tmp_path, 1)
            run(text, {**memory, name: value}, sampling, keep)
            assert keep.resumed_from == 0


def test_a_jump_is_part_of_the_beginning(run, tmp_path):
    memory = {"retrieval": "shots", "bank_frames": 3}
    run(JUMPS, memory, {}, Keep(tmp_path, 1))
    keep = Keep(tmp_path, 1)
    changed = JUMPS.replace("6c [jump]", "6c [soft]")
    latents, made, _ = run(changed, memory, {}, keep)
    assert made == [6, 7, 8] and torch.equal(latents, run(changed, memory, {})[0])


@pytest.mark.parametrize("chunk_frames, expected", [(1, 120), (3, 40), (8, 15), (200, 1)])
def test_long_prompts_have_moments_as_far_apart_whatever_the_chunk(chunk_frames, expected):
    from memflow_core.keep import ends_of_parts, is_part_end

    plan = read_schedule("0s: a robot").place(ChunkGrid(chunk_frames), Time(130, "chunks"))
    ends = ends_of_parts(plan)
    assert ends[0] == min(expected, 130) and ends[-1] == 130
    assert [chunk for chunk in range(131) if is_part_end(plan, chunk)] == ends
