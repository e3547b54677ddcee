"""The shared workflow in a running ComfyUI: what comes out, what is cached, and what a cancel or a full disk leaves."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import av
import pytest

from memflow_core.render import failure
from tools.comfy_host import ROOT
from tools.comfy_server import RequestError, output_files

WORKFLOW = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())


@pytest.fixture(scope="module")
def prompt(comfy):
    """The workflow in the form that the server runs."""
    return comfy.convert(WORKFLOW)


def node_of(prompt: dict, kind: str) -> str:
    """The id of the one node of a type."""
    (found,) = [id for id, node in prompt.items() if node["class_type"] == kind]
    return found


def changed(prompt: dict, kind: str, **inputs) -> dict:
    """The prompt with other inputs on the one node of a type."""
    prompt = copy.deepcopy(prompt)
    prompt[node_of(prompt, kind)]["inputs"] |= inputs
    return prompt


def video_frames(path: Path) -> list:
    """Every frame, decoded."""
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def mp4_of(comfy, run) -> Path:
    assert failure(run.history) is None, failure(run.history)
    (file,) = output_files(run.history, ".mp4")
    return comfy.path_of(file)


def test_the_workflow_makes_a_playable_video(comfy, prompt):
    # a seed of its own, or it comes from the cache of another test
    run = comfy.run(changed(prompt, "MemFlowStreamToVideo", seed=51), workflow=WORKFLOW)
    path = mp4_of(comfy, run)
    asked = prompt[node_of(prompt, "MemFlowStreamToVideo")]["inputs"]
    frames = video_frames(path)
    assert len(frames) == asked["length"] and frames[0].shape == (asked["height"], asked["width"], 3)
    with av.open(path) as container:
        assert container.streams.video[0].frames == len(frames)
        assert float(container.streams.video[0].average_rate) == asked["fps"]
        assert json.loads(container.metadata["workflow"])["nodes"] == WORKFLOW["nodes"]
        assert json.loads(container.metadata["prompt"]).keys() == prompt.keys()
    assert any(event["type"] == "progress_text" for event in run.events)
    assert run.previews


def test_stock_nodes_take_the_video(comfy, prompt):
    graph = copy.deepcopy(prompt)
    video = [node_of(prompt, "MemFlowStreamToVideo"), 0]
    saved = {"video": video, "filename_prefix": "stock", "format": "auto", "codec": "auto"}
    graph["90"] = {"class_type": "SaveVideo", "inputs": saved}
    graph["91"] = {"class_type": "GetVideoComponents", "inputs": {"video": video}}
    graph["92"] = {"class_type": "PreviewImage", "inputs": {"images": ["91", 0]}}
    run = comfy.run(graph)
    assert failure(run.history) is None
    (copied,) = [comfy.path_of(file) for file in output_files(run.history, ".mp4") if "stock" in file["filename"]]
    assert len(video_frames(copied)) == prompt[video[0]]["inputs"]["length"] == len(output_files(run.history, ".png"))


def test_a_state_that_is_linked_later_is_made_then(comfy, prompt):
    """Without a link none is captured, and what is in the cache has none; with it, that result is of no use."""
    graph = changed(prompt, "MemFlowStreamToVideo", seed=52, steps="1000")
    assert failure(comfy.run(graph).history) is None
    state = [node_of(prompt, "MemFlowStreamToVideo"), 1]
    saved = {"state": state, "filename_prefix": "linked_later", "content": "exact"}
    graph["90"] = {"class_type": "MemFlowSaveState", "inputs": saved}
    run = comfy.run(graph)
    assert failure(run.history) is None
    assert "linked_later" in json.dumps(run.history["outputs"]["90"])
    # taken out again and put back, nothing is made anew
    for again in ({node: graph[node] for node in graph if node != "90"}, graph):
        run = comfy.run(again)
        assert failure(run.history) is None
        assert state[0] not in {event["data"]["node"] for event in run.events if event["type"] == "executing"}


def test_a_second_queue_is_served_from_cache_and_changed_memory_is_not(comfy, prompt):
    comfy.run(prompt)
    stream = node_of(prompt, "MemFlowStreamToVideo")

    def executed(prompt: dict) -> set[str]:
        run = comfy.run(prompt)
        assert failure(run.history) is None
        return {event["data"]["node"] for event in run.events if event["type"] == "executing"} - {None}

    assert executed(prompt) == set()
    settings = {
        "preset": "Custom",
        "preset.retrieval": "fifo",
        "preset.bank_size": 3,
        "preset.record_interval": 1,
        "preset.top_k": 0,
        "preset.sink_size": 3,
        "preset.window_size": 6,
        "preset.positions": "auto",
        "preset.global_sink": True,
    }
    other = changed(prompt, "MemFlowMemory", **settings)
    assert executed(other) >= {stream, node_of(prompt, "MemFlowMemory")}
    settings["preset.bank_size"] = 2
    assert stream in executed(changed(prompt, "MemFlowMemory", **settings))


def test_cancel_leaves_a_healthy_comfyui_and_a_playable_file(comfy, prompt):
    before = set(comfy.output_dir.rglob("*.mp4"))
    long = changed(prompt, "MemFlowStreamToVideo", length=1197, seed=99)

    def cancel_at_third_chunk(event):
        if event["type"] == "progress_text" and "chunk 3 of" in event["data"]["text"]:
            comfy.interrupt()

    run = comfy.run(long, cancel_at_third_chunk)
    assert "cancelled" in failure(run.history)
    (left,) = set(comfy.output_dir.rglob("*.mp4")) - before
    assert 33 <= len(video_frames(left)) < 1197
    assert left.name in comfy.log.read_text()
    again = comfy.run(changed(prompt, "MemFlowStreamToVideo", seed=100))
    assert len(video_frames(mp4_of(comfy, again))) > 0


BAD = {
    "empty schedule": ("MemFlowPromptSchedule", dict(prompts=""), "empty"),
    "off the grid": ("MemFlowStreamToVideo", dict(width=100), "multiples of 16"),
    "steps of words": ("MemFlowStreamToVideo", dict(steps="many"), "whole number"),
    "too large": ("MemFlowStreamToVideo", dict(width=100_000), "bigger than max"),
    "no such format": ("MemFlowStreamToVideo", dict(format="gif"), "not in list"),
    "outside the output folder": ("MemFlowStreamToVideo", dict(filename_prefix="../../escaped"), "outside"),
}


@pytest.mark.parametrize("name", [name for name in BAD if BAD[name][0] == "MemFlowStreamToVideo"])
def test_bad_input_is_named_and_leaves_no_file(comfy, prompt, name):
    kind, inputs, word = BAD[name]
    before = set(comfy.base.rglob("*.mp4"))
    try:
        run = comfy.run(changed(prompt, kind, **inputs))
        message = failure(run.history)
    except RequestError as error:
        message = str(error)
    assert word in message
    assert set(comfy.base.rglob("*.mp4")) == before


def test_a_missing_model_file_is_named(comfy, prompt):
    graph = changed(prompt, "MemFlowStreamToVideo", seed=3)
    tiny, stream = node_of(graph, "MemFlowTinyStory"), node_of(graph, "MemFlowStreamToVideo")
    loader = {"model_name": "gone.safetensors", "lora_name": "none", "lora_strength": 1.0, "lora_alpha": 0.0}
    loader |= {"weights": "auto", "weight_dtype": "default"}
    graph["99"] = {"class_type": "MemFlowLoadModel", "inputs": loader}
    graph[stream]["inputs"]["model"] = ["99", 0]
    assert graph[tiny]
    with pytest.raises(RequestError, match="gone.safetensors"):
        comfy.run(graph)
