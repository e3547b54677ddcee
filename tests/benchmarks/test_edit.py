"""The table of what a change of each prompt costs: every prompt is changed alone."""

from __future__ import annotations

import json

import pytest

from benchmarks.edit import with_changed
from memflow_core.schedule import read_schedule
from tools.comfy_host import ROOT

TINY = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
(TEXT,) = [node["widgets_values"][0] for node in TINY["nodes"] if node["type"] == "MemFlowPromptSchedule"]
TEXTS = [TEXT, "0s: a cat waves in the city\n4s [cut]: an empty beach\n# a note\n8s: a cat waves in the city"]


@pytest.mark.parametrize("text", TEXTS)
def test_each_prompt_is_changed_alone(text):
    before = read_schedule(text).segments
    assert len(before) == (8 if text is TEXT else 3)
    for number in range(len(before)):
        after = read_schedule(with_changed(text, number)).segments
        assert [one != other for one, other in zip(before, after, strict=True)] == [
            place == number for place in range(len(before))
        ]
