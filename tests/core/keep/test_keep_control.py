"""Kept moments of stories under control: each knows what has steered it, and nothing that comes later."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import LatentShape, SamplingConfig
from memflow_core.keep import Keep
from memflow_core.model import Backbone
from memflow_core.play import EncodedSchedule, play
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.stream import Stream
from tests.core.controls import branch, span, track

TEXT = "0s: a robot\n2c: a cat\n4c: a ghost\n6c: a bird"
CHUNKS = 8


@pytest.fixture
def run(backbone, prompt, tmp_path):
    """run(*spans, model seed) -> (latents, chunks that were made, what was told)."""

    def play_it(*spans, seed: int = 12, keep: bool = True):
        model = Backbone(backbone.tree, control=branch(seed=seed))
        stream = Stream(model, LatentShape(4, 6), sampling=SamplingConfig(steps=(1000,)), frames=60)
        stream.control = track(*spans) if spans else None
        schedule = read_schedule(TEXT)
        plan = schedule.place(ChunkGrid(), Time(CHUNKS, "chunks"))
        story = EncodedSchedule(schedule, plan, [prompt(number) for number in range(4)])
        told = []
        keeping = Keep(tmp_path / "kept", 1, on_told=told.append) if keep else None
        chunks = list(play(stream, story, 5, keep=keeping))
        made = [chunk.index for chunk in chunks if chunk.forwards]
        return torch.cat([chunk.latents for chunk in chunks], dim=2), made, told

    return play_it


# chunks begin at video frames 0, 9, 21, 33, 45, 57, 69, 81; moments at chunks 2, 4, 6
CHANGED = {
    "nothing": ([span(0, 33), span(57)], 6),
    "an end that is later": ([span(0, 40), span(57)], 2),
    "an end in the last part": ([span(0, 33), span(57, 80)], 6),
    "the second control's pictures": ([span(0, 33), span(57, seed=2)], 4),
    "the second control's strength": ([span(0, 33), span(57, strength=0.5)], 4),
    "a later second control": ([span(0, 33), span(60)], 4),
    "no second control": ([span(0, 33)], 4),
    "no first control": ([span(57)], 0),
    "the first control's pictures": ([span(0, 33, seed=3), span(57)], 0),
    "a control more, after the end": ([span(0, 33), span(57, 69), span(69, seed=4)], 6),
    "one of strength 0": ([span(0, 33), span(40, 44, strength=0.0), span(57)], 6),
    "none at all": ([], 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGED)
def test_a_story_goes_on_from_where_its_control_is_the_same(run, name):
    spans, start = CHANGED[name]
    run(span(0, 33), span(57))
    expected, _, _ = run(*spans, keep=False)
    latents, made, _ = run(*spans)
    assert made == list(range(start, CHUNKS))
    assert torch.equal(latents, expected)


def test_other_control_weights_are_another_story(run):
    run(span(57))
    # what comes before the control is the same with any of them
    assert run(span(57), seed=13)[1] == [4, 5, 6, 7]
    assert run(span(57))[1] == [6, 7]


def test_pictures_that_nothing_tells_from_others_keep_nothing(run):
    from dataclasses import replace

    nameless = replace(span(0), identity="")
    told = run(nameless)[2]
    assert told == ["no moments are kept: its control cannot be told from another one."]
    assert run(nameless)[1] == list(range(CHUNKS))
