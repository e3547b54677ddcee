"""POST /memflow/plan and GET /memflow/presets: the plan of what could be queued, and nothing else gets through."""

from __future__ import annotations

import json
import re

import pytest

from memflow_core.config import MEMORIES
from tests.comfyui.routes import post

PATH = "/memflow/plan"
RUN = {"schedule": "0s: a\n4s [cut]: b", "length": 153, "fps": 16, "width": 832, "height": 480, "steps": "1000, 500"}
CUSTOM = {"preset": "Custom", "retrieval": "prompt", "bank_size": 3, "record_interval": 3, "top_k": 0, "sink_size": 3}
CUSTOM |= {"window_size": 9, "positions": "auto", "global_sink": True}


def ask(comfy, **changes) -> tuple[int, dict]:
    return post(comfy, PATH, json.dumps(RUN | changes).encode())


def test_a_plan_says_what_will_be(comfy):
    status, said = ask(comfy)
    assert status == 200
    plan = said["plan"]
    assert (plan["chunks"], plan["video_frames"], plan["seconds"]) == (13, 153, 153 / 16)
    assert plan["switches"] == [{"start_s": 69 / 16, "start_frame": 69, "kind": "cut", "prompt": "b"}]
    assert (plan["denoise"], plan["context"], plan["recache"], plan["passes"]) == (26, 13, 0, 39)
    assert said["lines"][0] == "9.56 s: 153 video frames in 13 chunks, 39 passes through the model."
    assert said["lines"][1] == "Prompts change at 4.31 s (cut)."
    assert "a 1.3B model" in said["lines"][2]
    # the tests' host has no GPU: memory is RAM there, and that is said
    assert re.fullmatch(r"9\.56 s, about \S+ GB of RAM \(float32 on the CPU\)", said["summary"])
    assert "This machine computes on its CPU, in float32: what is called VRAM is RAM." in said["lines"]
    assert said["said"][1] == [
        "{0} s: {1} video frames in {2}, {3} through the model.", "9.56", 153, ["{0} chunks", 13], ["{0} passes", 39],
    ]  # fmt: skip


def test_memory_size_and_kind_of_run_count(comfy):
    plain = ask(comfy)[1]["plan"]
    assert ask(comfy, memory={"preset": "Story"})[1]["plan"] == ask(comfy, memory=CUSTOM)[1]["plan"] == plain
    assert ask(comfy, memory={"preset": "Window only"})[1]["plan"]["peak_vram_bytes"] < plain["peak_vram_bytes"]
    assert ask(comfy, memory={"preset": "Sharper memory"})[1]["plan"]["bank_bytes"] > 1.9 * plain["bank_bytes"]
    assert ask(comfy, width=416, height=240)[1]["plan"]["window_bytes"] < 0.26 * plain["window_bytes"]
    latent = ask(comfy, streamed=False)[1]["plan"]
    assert latent["vae_bytes"] == 0 and latent["picture_bytes"] == 153 * 832 * 480 * 12
    small = ask(comfy, memory={"preset": "Story", "cache": "fp8"}, weights="fp8")[1]
    assert small["plan"]["window_bytes"] < 0.51 * plain["window_bytes"]
    assert small["plan"]["weights_bytes"] < 0.52 * plain["weights_bytes"]
    assert "a 1.3B model in FP8 1." in small["lines"][2] and "GB in FP8" in small["lines"][2]
    assert "the tiny story model" in ask(comfy, model="tiny", width=64, height=64)[1]["lines"][2]


def test_segments_and_an_open_end(comfy):
    segments = [{"start_s": 0, "prompt": "segment 1"}, {"start_s": 3.0, "prompt": "segment 2", "switch": "blend"}]
    said = ask(comfy, schedule=segments, length=0)[1]
    assert said["plan"]["open_end"] and said["lines"][0] == "Goes on until you press Finish now."
    assert said["lines"][1] == "Prompts change at 3.56 s (blend)."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule": "0s: a\n5s [!]: b"}, "option [!] is unknown"),
        ({"schedule": "\ud800"}, "half a character"),
        ({"schedule": [["x" * 100]] * 3}, "entry 1"),
        ({"width": 833}, "multiples of 16"),
        ({"steps": "1000, many"}, "'many' is no whole number"),
        ({"steps": "9" * 5000}, "is no whole number"),
        ({"steps": ""}, "at least one"),
        ({"length": 0, "streamed": False}, "must be at least 1"),
        ({"memory": {"preset": "Best"}}, "memory preset is 'Best'"),
        ({"memory": {"preset": ["Story"]}}, "memory preset is"),
        ({"memory": {"preset": "Custom"}}, "memory retrieval is None"),
        ({"memory": {"preset": "Story", "cache": "int4"}}, "memory cache is 'int4', which"),
        ({"memory": {"preset": "Official MemFlow", "cache": "fp8"}}, "'reference' stands for the published code's"),
        ({"memory": CUSTOM | {"bank_size": 1e9}}, "memory bank_size is 1000000000.0"),
        ({"memory": CUSTOM | {"window_size": 1}}, "must fit into the window"),
        ({"schedule": "pin: 1s\n0s: a\n4s: b", "memory": {"preset": "Window only"}}, "keeps no bank"),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_run_is_told_in_one_sentence(comfy, changes, words):
    status, said = ask(comfy, **changes)
    assert status == 200 and said.keys() == {"error", "chunk_frames"} and words in said["error"]
    assert len(said["error"]) < 500 and "\n" not in said["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        *(
            json.dumps(RUN | change).encode()
            for change in (
                {"schedule": 5},
                {"length": "81"},
                {"length": -1},
                {"length": 10**9},
                {"length": True},
                {"fps": float("nan")},
                {"fps": 0},
                {"width": 16.5},
                {"height": 10**30},
                {"steps": [1000]},
                {"memory": "Story"},
                {"model": {"layers": 1}},
                {"streamed": 1},
                {"global_prompt": None},
                {"file": "../../etc/passwd"},
            )
        ),
    ],
    ids=lambda body: "",
)
def test_a_body_of_another_form_is_refused(comfy, body):
    status, said = post(comfy, PATH, body)
    assert status == 400 and said.keys() == {"error"}


def test_a_large_body_is_refused(comfy):
    assert ask(comfy, schedule="a" * 13_000_000)[0] == 413


def test_a_day_of_video_is_told_as_well(comfy):
    assert ask(comfy, schedule="0s: a", length=1_000_000)[1]["plan"]["chunks"] == 83334
    changing = "\n".join(f"{4000 * number}c: robot number {number}" for number in range(20))
    plan = ask(comfy, schedule=changing, length=1_000_000)[1]["plan"]
    assert (plan["chunks"], plan["recache"], len(plan["switches"])) == (83334, 19, 19)


def test_thousands_of_segments_and_pins_are_told_as_well(comfy):
    pins = [f"pin p{number}: {number}c" for number in range(2000)]
    changes = [f"{number}c [p{number - 1}]: b" for number in range(1, 2000)]
    plan = ask(comfy, schedule="\n".join([*pins, "0s: a", *changes]), length=1_000_000)[1]["plan"]
    assert plan["recache"] == 1998 and plan["pin_bytes"] == 2000 * plan["window_bytes"] // 9
    held = "\n".join([*("pin: 9c" for _ in range(2000)), "0s: a", *(f"{n}c: b" for n in range(1, 2000))])
    assert ask(comfy, schedule=held, length=1_000_000)[1]["plan"]["pin_bytes"] == 0


def test_more_than_a_schedule_may_hold_is_refused(comfy):
    changes = "\n".join(f"{number}c: robot number {number}" for number in range(2001))
    assert "2,001 prompts, but may have 2,000" in ask(comfy, schedule=changes, length=1_000_000)[1]["error"]


def test_what_is_left_out_is_told(comfy):
    said = ask(comfy, schedule="**0-2s:** a\n**2-60s:** b\n**60-70s:** c\n\nLet me know!", length=81)[1]
    assert "The schedule: 1 line left out (5)." in said["lines"]
    assert "The schedule: the story ends at 5.06 s: later prompts left out (1)." in said["lines"]
    later = ["the story ends at {0} s: later prompts left out ({1})", "5.06", 1]
    assert ["The schedule: {0}.", later] in said["said"]


def test_the_presets_are_those_of_the_nodes(comfy, pack):
    presets = pack.nodes.run.PRESETS
    shown = comfy.get("/memflow/presets")["presets"]
    assert [preset["name"] for preset in shown] == list(presets)
    options = comfy.get("/object_info/MemFlowMemory")["MemFlowMemory"]["input"]["required"]["preset"][1]["options"]
    assert [option["key"] for option in options] == list(pack.nodes.run.MEMORY_OPTIONS)
    assert {option["key"] for option in options} == {*MEMORIES, "Model's own", "Custom"}
    for preset in shown:
        assert preset["widgets"] == presets[preset["name"]].widgets and preset["memory"] in MEMORIES
