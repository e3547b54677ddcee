"""Saving, loading and branching through the server's API, as a page or a script would do it."""

from __future__ import annotations

import copy
import json

import av
import numpy as np
import pytest

from memflow_core.render import failure
from tools.comfy_host import ROOT
from tools.comfy_server import RequestError, output_files

WORKFLOW = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
START = "0s: a robot walks in the meadow"
SIZES = {"width": 64, "height": 64, "fps": 16.0, "steps": "1000, 500", "shift": 5.0}
VIDEO = {"format": "mp4 (h264)", "quality": "high", "save_output": True}


def graph(**nodes) -> dict:
    """Tiny model, schedule nodes by text, and more: each node is (type, inputs)."""
    made = {"tiny": ("MemFlowTinyStory", {})} | nodes
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in made.items()}


def schedule(text: str) -> tuple:
    return ("MemFlowPromptSchedule", {"clip": ["tiny", 1], "prompts": text, "global_prompt": ""})


def stream(prompts: str, seed: int, length: int, prefix: str, **more) -> tuple:
    inputs = {"model": ["tiny", 0], "vae": ["tiny", 2], "schedule": [prompts, 0], "seed": seed, "length": length}
    return ("MemFlowStreamToVideo", {**inputs, **SIZES, **VIDEO, "filename_prefix": prefix, **more})


def frames_of(comfy, run, name: str) -> np.ndarray:
    assert failure(run.history) is None, failure(run.history)
    (file,) = [file for file in output_files(run.history, ".mp4") if file["filename"].startswith(name)]
    with av.open(comfy.path_of(file)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_saved_in_one_run_and_continued_in_others(comfy):
    saves = {
        content: ("MemFlowSaveState", {"state": ["first", 1], "filename_prefix": f"keep/{content}", "content": content})
        for content in ("compact", "exact")
    }
    whole = stream("prompts", 501, 69, "keep_whole")
    run = comfy.run(
        graph(prompts=schedule(START), whole=whole, first=stream("prompts", 501, 45, "keep_first"), **saves)
    )
    expected = frames_of(comfy, run, "keep_whole")[45:]
    listed = comfy.get("/object_info/MemFlowLoadState")["MemFlowLoadState"]["input"]["required"]["file"]
    options = listed[1]["options"] if "options" in listed[1] else listed[0]
    for content in saves:
        name = f"memflow_states/keep/{content}_00001_.safetensors [output]"
        assert name in options
        more = {"load": ("MemFlowLoadState", {"file": name}), "prompts": schedule(START)}
        more["next"] = stream("prompts", 501, 24, f"keep_{content}", state=["load", 0])
        made = frames_of(comfy, comfy.run(graph(**more)), f"keep_{content}")
        assert made.shape == expected.shape
        if content == "exact":
            # the same pictures, compressed anew
            assert np.abs(made.astype(int) - expected).mean() < 4


def test_two_endings_branch_in_one_graph_and_only_the_changed_one_runs_again(comfy):
    nodes = {"prompts": schedule(START), "first": stream("prompts", 502, 45, "keep_trunk")}
    for name, words in (("left", "an empty beach"), ("right", "a cat waves in the city")):
        nodes[f"tale_{name}"] = schedule(f"{START}\n2.8s: {words}")
        nodes[name] = stream(f"tale_{name}", 502, 24, f"keep_{name}", state=["first", 1])
    run = comfy.run(graph(**nodes))
    left, right = frames_of(comfy, run, "keep_left"), frames_of(comfy, run, "keep_right")
    assert left.shape == right.shape and not np.array_equal(left, right)
    changed = copy.deepcopy(graph(**nodes))
    changed["left"]["inputs"]["seed"] = 503
    again = comfy.run(changed)
    executed = {event["data"]["node"] for event in again.events if event["type"] == "executing"} - {None}
    assert executed == {"left"}
    assert not np.array_equal(frames_of(comfy, again, "keep_left"), left)


def test_a_story_starts_from_pictures_and_carries_sound(comfy):
    words = ("CLIPTextEncode", {"clip": ["tiny", 1], "text": "a robot walks in the meadow"})
    image = ("EmptyImage", {"width": 80, "height": 40, "batch_size": 1, "color": 0x20A040})
    given = {"vae": ["tiny", 2], "conditioning": ["words", 0], "images": ["image", 0], "width": 64, "height": 64}
    nodes = {
        "prompts": schedule(START),
        "words": words,
        "image": image,
        "start": ("MemFlowStartImages", {**given, "length": 33, "fps": 16.0}),
        "remember": ("MemFlowRememberImages", {**given, "state": ["start", 0]}),
        "silence": ("EmptyAudio", {"duration": 5.0, "sample_rate": 44100, "channels": 2}),
    }
    nodes["story"] = stream("prompts", 504, 24, "keep_given", state=["remember", 0], audio=["silence", 0])
    prompt = graph(**nodes)
    run = comfy.run(prompt, workflow=WORKFLOW)
    assert len(frames_of(comfy, run, "keep_given")) == 24
    (file,) = output_files(run.history, ".mp4")
    with av.open(comfy.path_of(file)) as container:
        assert container.streams.audio and json.loads(container.metadata["prompt"]).keys() == prompt.keys()
        assert json.loads(container.metadata["workflow"])["nodes"] == WORKFLOW["nodes"]


@pytest.mark.parametrize(
    "name", ["../../server.log", "memflow_states/../../x.safetensors [output]", "gone.safetensors"]
)
def test_a_file_that_is_none_is_refused_before_the_queue(comfy, name):
    nodes = {"prompts": schedule(START), "load": ("MemFlowLoadState", {"file": name})}
    nodes["next"] = stream("prompts", 505, 24, "keep_none", state=["load", 0])
    with pytest.raises(RequestError, match=r"no state's file|no state called"):
        comfy.run(graph(**nodes))
