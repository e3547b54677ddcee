"""The plan that the page asks for, by the profile of the model that its loader is set to."""

from __future__ import annotations

import json
from typing import Any

STEPS = "1000, 750, 500, 250"
PLAN = {"schedule": "0s: a\n4s: b", "length": 93, "fps": 24, "width": 1280, "height": 704, "steps": STEPS}


def plan(tiny, **changes) -> tuple[int, dict[str, Any]]:
    return tiny.nodes.api.plan.answer(json.dumps(PLAN | changes).encode())


def test_a_plan_goes_by_the_profile_of_the_file_that_a_loader_names(tiny):
    _, large = plan(tiny, model_name="LongLive-2.0-5B/model_bf16.pt")
    assert large["chunk_frames"] == 8 and large["plan"]["chunks"] == 3 and large["plan"]["denoise"] == 12
    assert "a 5B model in" in large["lines"][2] and any("chunks of 8" in line for line in large["lines"])
    assert large["plan"]["recache"] == 0 and large["plan"]["window_bytes"] == 2 * large["plan"]["sink_bytes"]
    size = {"width": 832, "height": 480, "fps": 16, "length": 81}
    _, framewise = plan(tiny, model_name="framewise-2step.pt", **size)
    assert framewise["chunk_frames"] == 1 and framewise["plan"]["denoise"] == 4 + 20 * 2
    _, krea = plan(tiny, model_name="krea-realtime-video-14b.safetensors", **size)
    assert krea["plan"]["refresh"] == krea["plan"]["chunks"] - 1 and "a 14B model in" in krea["lines"][2]
    _, usual = plan(tiny, model_name="memflow.pt", **size)
    assert usual == plan(tiny, **size)[1] and usual["chunk_frames"] == 3
    _, chosen = plan(tiny, profile="LongLive 2", chunk_frames=4, first_steps="1000, 500")
    assert chosen["chunk_frames"] == 4 and chosen["plan"]["denoise"] == 2 + 5 * 4


def test_what_cannot_be_streamed_or_made_is_said_in_the_plan(tiny):
    _, refused = plan(tiny, model_name="wan2.1_t2v_1.3B_fp16.safetensors")
    assert "sees a whole clip at once" in refused["error"] and "chunk_frames" not in refused
    _, odd = plan(tiny, model_name="LongLive-2.0-5B/model_bf16.pt", height=720)
    assert "multiples of 32" in odd["error"] and odd["chunk_frames"] == 8
    assert plan(tiny, profile="no such profile")[1]["error"].startswith("the profile is 'no such profile'")
    for wrong in ({"model_name": 3}, {"chunk_frames": 65}, {"chunk_frames": "8"}, {"shift": 0}, {"first_steps": None}):
        assert plan(tiny, **wrong)[0] == 400
    assert "a chunk starts from noise" in plan(tiny, first_steps="100, 50")[1]["error"]
