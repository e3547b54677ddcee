"""Lengths that a schedule and a node disagree on, and bodies and states with odd values."""

from __future__ import annotations

import json

import pytest

from memflow_core.state.values import named_problems
from memflow_core.state.versions import refusal
from tests.cases.graphs import PROMPT

PLAN = {"length": 81, "fps": 16, "width": 64, "height": 64, "steps": "1000", "model": "tiny"}


def plan(tiny, text: str, **changes) -> dict:
    return tiny.nodes.api.plan.answer(json.dumps({**PLAN, "schedule": text, **changes}).encode())[1]


def told(answer: dict) -> list[str]:
    return [line for line in answer["lines"] if line.startswith("The schedule: ")]


@pytest.mark.parametrize(
    ("text", "own"),
    [("length: 60s\n0s: a fox\n3s: the snow", "60 s"), ("0-3s: a fox\n3-20s: the snow", "20 s")],
)
def test_a_length_that_the_node_cuts_short_is_told(tiny, text, own):
    said = f"The schedule: the story ends at 5.06 s, before the schedule's own length of {own}."
    assert told(plan(tiny, text)) == [said]
    assert told(plan(tiny, text, length=0)) == []


def test_a_length_that_fits_is_not_told(tiny):
    assert told(plan(tiny, "length: 5s\n0s: a fox\n3s: the snow")) == []
    assert told(plan(tiny, "0-2s: a fox\n2-4s: the snow")) == []


def test_the_cut_is_told_in_the_report(graphs):
    schedule = graphs.tiny.nodes.prompts.MemFlowPromptSchedule.execute(
        graphs.tiny.clip, f"length: 9s\n0s: {PROMPT}", ""
    )
    _, _, report = graphs.tiny.sample(model=graphs.tiny.model, length=9, schedule=schedule.result[0])
    assert "before the schedule's own length of 9 s" in report


def test_a_length_below_one_frame_does_not_speak_of_a_state(tiny):
    answer = plan(tiny, "length: 0.0001s\n0s: a fox")
    assert "less than one video frame at 16 fps" in answer["error"] and "state" not in answer["error"]


def test_a_key_that_the_schedules_route_does_not_know_is_refused(tiny):
    status, answer = tiny.nodes.api.schedule.answer(b'{"text": "0s: a", "x": 1}')
    assert status == 400 and "'x' means nothing here" in answer["error"]
    assert tiny.nodes.api.schedule.answer(b'{"text": "0s: a", "story": 1}')[0] == 200


def test_a_long_version_of_a_state_is_cut():
    assert len(refusal([0] * 5000)) < 150


def test_what_is_wrong_with_a_state_speaks_of_the_file():
    with pytest.raises(ValueError, match=r"^a value in it is of the wrong kind$"), named_problems():
        [1, 2, 3].keys()
