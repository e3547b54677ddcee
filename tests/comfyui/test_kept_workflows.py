"""Kept workflow files: what people saved fits today's nodes, value by value, and plays what it played then.

How the files were made, and why they are not made anew: tests/golden/kept/make.py.
"""

from __future__ import annotations

import json

import av
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from memflow_core.render import failure
from tools.comfy_host import ROOT
from tools.comfy_server import Server, ServerError, output_files

KEPT = ROOT / "tests" / "golden" / "kept" / "workflows"
ON_TINY = ("tiny_story", "node_by_node", "picture_to_story", "continue_and_branch", "live_story")
NAMES = (*ON_TINY, "official_story", "low_vram")


def read(name: str) -> dict:
    return json.loads((KEPT / name).read_text())


@pytest.fixture(scope="module")
def comfy(comfy_path, tmp_path_factory):
    """A server that leaves a GPU alone, since the pictures that are kept were made on a CPU."""
    server = Server(comfy_path, tmp_path_factory.mktemp("kept"), options=("--cpu",))
    try:
        server.start()
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def schemas(comfy):
    return comfy.get("/object_info")


@pytest.fixture(scope="module")
def converted(comfy):
    """converted(name): a kept workflow in the form that the server runs; each is converted once."""
    known = {}

    def convert(name: str) -> dict:
        if name not in known:
            known[name] = comfy.convert(read(f"{name}.json"))
        return json.loads(json.dumps(known[name]))

    return convert


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_workflow_asks_for_what_it_asked_for(name, converted, schemas):
    """Every node, input and value of then is asked for; what is new may only be optional."""
    made, kept = converted(name), read(f"{name}.api.json")
    assert made.keys() == kept.keys()
    for id, node in kept.items():
        now = made[id]
        assert now["class_type"] == node["class_type"]
        assert {key: now["inputs"].get(key) for key in node["inputs"]} == node["inputs"]
        new = now["inputs"].keys() - node["inputs"].keys()
        assert new <= schemas[node["class_type"]]["input"].get("optional", {}).keys()


@pytest.mark.parametrize("name", NAMES)
def test_links_of_a_kept_workflow_end_where_they_ended(name, schemas):
    """Outputs are linked by their place: each place has the name and type that the file says."""
    for node in read(f"{name}.json")["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        schema = schemas[node["type"]]
        outputs = list(zip(schema["output_name"], schema["output"], strict=True))
        assert outputs[: len(node["outputs"])] == [(slot["name"], slot["type"]) for slot in node["outputs"]]


def small_frames(path) -> torch.Tensor:
    """Frames of a video at 8 x 8 pixels, [F, 8, 8, 3] from 0 to 255."""
    with av.open(path) as file:
        frames = torch.stack([torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)])
    return torch.nn.functional.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), 8).permute(0, 2, 3, 1)


@pytest.mark.parametrize("name", ON_TINY)
def test_a_kept_workflow_plays_what_it_played(name, comfy):
    """In little: the values that were changed for the kept pictures stand in the header of their file.

    As it was queued then, with its memory named, by a node where a sampler had none: without it memory is left to the
    tiny model, which has another one since, and a page gives a node what a fresh one has in later inputs.
    """
    file = KEPT / f"{name}.frames.safetensors"
    with safe_open(file, framework="pt") as opened:
        changes = json.loads(opened.metadata()["changes"])
    prompt = read(f"{name}.api.json")
    for id, inputs in changes.items():
        prompt[id]["inputs"] |= inputs
    samplers = [node for node in prompt.values() if node["class_type"] in ("MemFlowSampler", "MemFlowStreamToVideo")]
    prompt["named"] = {"class_type": "MemFlowMemory", "inputs": {"preset": "Story"}}
    for sampler in samplers:
        sampler["inputs"].setdefault("memory", ["named", 0])
    run = comfy.run(prompt)
    assert failure(run.history) is None, failure(run.history)
    videos = {file["filename"].rpartition("_0")[0]: file for file in output_files(run.history, ".mp4")}
    kept = load_file(file)
    assert videos.keys() == kept.keys()
    for name, frames in kept.items():
        made = small_frames(comfy.path_of(videos[name]))
        # the encoder may be another build
        assert made.shape == frames.shape and (made - frames.float()).abs().max() < 8
