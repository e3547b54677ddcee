"""The widget `steps`: timesteps, or a number of steps as other samplers have it."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

from tests.cases.graphs import PROMPT
from tests.nodes.graphs import NODE, graph_of


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1", (1000,)),
        ("2", (1000, 500)),
        ("4", (1000, 750, 500, 250)),
        (" 8 ", (1000, 875, 750, 625, 500, 375, 250, 125)),
        ("1000, 750, 500, 250", (1000, 750, 500, 250)),
        ("1000", (1000,)),
        ("937, 625", (937, 625)),
        ("4.0", (1000, 750, 500, 250)),
        ("1000.0, 750.0", (1000, 750)),
    ],
)
def test_a_number_of_steps_is_read_as_one(tiny, text, steps):
    assert tiny.nodes.run.parse_steps(text) == steps


def test_thirty_and_fifty_steps_fall_from_noise_all_the_way(tiny):
    for count in (30, 50):
        steps = tiny.nodes.run.parse_steps(str(count))
        assert len(steps) == count and steps[0] == 1000 and steps[-1] > 0
        assert all(a > b for a, b in itertools.pairwise(steps))


@pytest.mark.parametrize(
    "text", ["0", "51", "500", "30, 20", "4, 2", "60, 30", "51, 20", "400 200", "4.5", "1000, 7.5", "four"]
)
def test_other_steps_that_begin_far_from_noise_are_refused_with_how_to_write_them(tiny, text):
    with pytest.raises(ValueError, match="1000, 750, 500, 250"):
        tiny.nodes.run.parse_steps(text)
    said = tiny.nodes.api.refusals.refusal(graph_of({"steps": text, "state": ["7", 0]}), NODE)
    assert said and "1000, 750, 500, 250" in said


def test_a_number_of_steps_is_told_and_makes_what_the_list_makes(graphs):
    made, told = graphs.run(steps="2")
    assert torch.equal(made, graphs.plain)
    assert told == ["steps 2 is read as a number of steps: 1000, 500."]
    body = {"schedule": f"0s: {PROMPT}", "length": 9, "fps": 16, "width": 64, "height": 64, "steps": "2"}
    _, answer = graphs.tiny.nodes.api.plan.answer(json.dumps(body).encode())
    assert answer["lines"][-1] == told[0]
