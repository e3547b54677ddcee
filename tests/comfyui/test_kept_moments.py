"""Kept moments in a running ComfyUI: the last prompt is changed, and only its chunks are made."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import av
import numpy as np
import pytest

from memflow_core.render import failure
from tools.comfy_host import ROOT
from tools.comfy_server import output_files

WORKFLOW = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
SEED = 1507  # its own, or it comes from the cache of another test


@pytest.fixture(scope="module")
def prompt(comfy):
    """The workflow in the form that the server runs."""
    return comfy.convert(WORKFLOW)


def node_of(prompt: dict, kind: str) -> dict:
    (found,) = [node for node in prompt.values() if node["class_type"] == kind]
    return found["inputs"]


def frames_of(path: Path) -> np.ndarray:
    with av.open(path) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_a_changed_last_prompt_is_made_alone_and_the_film_is_whole(comfy, prompt):
    def render(text: str, gb: float | None):
        graph = copy.deepcopy(prompt)
        node_of(graph, "MemFlowPromptSchedule")["prompts"] = text
        film = node_of(graph, "MemFlowStreamToVideo")
        film |= {"seed": SEED} if gb is None else {"seed": SEED, "keep_moments_gb": gb}
        run = comfy.run(graph, workflow=WORKFLOW)
        assert failure(run.history) is None, failure(run.history)
        (file,) = output_files(run.history, ".mp4")
        chunks = [event["data"] for event in run.events if event["type"] == "memflow.chunk"]
        # those of an earlier run are shown too, in their order
        assert [data["chunk"] for data in chunks] == list(range(len(chunks)))
        assert all(data["thumbnail"] for data in chunks)
        made = [data["chunk"] for data in chunks if not data.get("kept")]
        return comfy.path_of(file), made

    text = node_of(prompt, "MemFlowPromptSchedule")["prompts"]
    lines = text.strip().splitlines()
    head, _, last = lines[-1].partition(": ")
    changed = "\n".join(
        [*lines[:-1], f"{head}: {last.replace('waves', 'jumps') if 'waves' in last else 'a cat waves'}"]
    )
    assert changed != text.strip()

    def kept_in_plan() -> dict:
        """What the plan says before the run, of the graph as it would be queued."""
        graph = copy.deepcopy(prompt)
        node_of(graph, "MemFlowPromptSchedule")["prompts"] = changed
        film = node_of(graph, "MemFlowStreamToVideo")
        film |= {"seed": SEED, "keep_moments_gb": 1.0}
        (node,) = [name for name, one in graph.items() if one["class_type"] == "MemFlowStreamToVideo"]
        sizes = {name: film[name] for name in ("length", "fps", "width", "height", "steps")}
        body = {"schedule": changed, "model": "tiny", "graph": graph, "node": node, **sizes}
        return comfy.post("/memflow/plan", body)["kept"]

    assert kept_in_plan()["chunk"] == 0
    _, first = render(text, 1.0)
    promised = kept_in_plan()["chunk"]
    path, made = render(changed, 1.0)
    folder = comfy.base / "user" / "memflow_moments"
    assert any(folder.glob("moment_*")) and comfy.get("/memflow/moments")["moments"] > 1
    assert 0 < len(made) < len(first) and made == first[-len(made) :]
    assert promised == made[0]
    # without the input, as a workflow from before: the server's own setting, which is to keep none
    fresh, again = render(changed, None)
    assert again == first
    assert np.array_equal(frames_of(path), frames_of(fresh))
    asked = node_of(prompt, "MemFlowStreamToVideo")
    assert len(frames_of(path)) == asked["length"]
    with av.open(path) as file:
        saved = json.loads(file.metadata["prompt"])
        assert node_of(saved, "MemFlowPromptSchedule")["prompts"] == changed
        assert json.loads(file.metadata["workflow"])["nodes"] == WORKFLOW["nodes"]
    assert comfy.post("/memflow/moments", {"action": "delete"})["freed"] > 0 and not folder.exists()
