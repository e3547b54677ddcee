"""The pack's nodes in this process, on the tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.nodes.graphs import GHOSTS, NODE, QUICK, graph_of

STORY = "0s: a robot walks in the meadow\n1s: an empty beach\n2s: the robot returns to the meadow"
SIZES = {"width": 64, "height": 64, "fps": 16.0}
# fewer steps than a user would take: what is tested does not depend on their number
SAMPLING = {"steps": "1000, 500", "shift": 5.0}


@dataclass(frozen=True)
class Tiny:
    """The bundled model and the nodes around it."""

    nodes: ModuleType
    model: Any
    clip: Any
    vae: Any

    def schedule(self, prompts: str = STORY, global_prompt: str = ""):
        return self.nodes.prompts.MemFlowPromptSchedule.execute(self.clip, prompts, global_prompt).result[0]

    def memory(self, cache: str = "model", shared: dict[str, str] | None = None, **settings):
        """Custom memory settings, by the node's own input names; shared: those beside every preset."""
        config = {"retrieval": "prompt", "bank_size": 3, "record_interval": 1, "top_k": 0, "sink_size": 3}
        config |= {"window_size": 6, "positions": "auto", "global_sink": True}
        node = self.nodes.memory.MemFlowMemory
        return node.execute({"preset": "Custom", **config, **settings}, cache, **(shared or {})).result[0]

    def sample(self, **changes) -> tuple[Any, Any, str]:
        """latent samples, state and report of MemFlow Sampler."""
        inputs = {"model": self.model, "seed": 7, "length": 45, **SIZES, **SAMPLING, "memory": None, "state": None}
        # runs of a test stand for themselves
        inputs["keep_moments_gb"] = 0.0
        if "schedule" not in changes:
            inputs["schedule"] = self.schedule()
        latent, state, report, _ = self.nodes.sampler.MemFlowSampler.execute(**(inputs | changes)).result
        return latent["samples"], state, report


@pytest.fixture(scope="session")
def tiny(pack) -> Tiny:
    return Tiny(pack.nodes, *pack.nodes.loaders.MemFlowTinyStory.execute().result)


@pytest.fixture(scope="session")
def generator_file(pack) -> Path:
    """The tiny generator's weights, in plain Wan keys."""
    return Path(pack.__file__).parent / "memflow_core" / "assets" / "tiny_story_generator.safetensors"


@pytest.fixture
def stream(tiny, tmp_path, monkeypatch):
    """Runs the node on the tiny model, into a folder of its own: -> the file's path, state, report."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    node = tiny.nodes.stream_to_video.MemFlowStreamToVideo.PREPARE_CLASS_CLONE(None)

    def run(**changes):
        inputs = {
            "model": tiny.model,
            "vae": tiny.vae,
            "schedule": tiny.schedule(),
            "length": 45,
            **SIZES,
            **SAMPLING,
            "seed": 7,
        }
        # runs of a test stand for themselves
        inputs["keep_moments_gb"] = 0.0
        inputs |= {"filename_prefix": "story", "format": "mp4 (h264)", "quality": "high", "save_output": True}
        video, state, report, _ = node.execute(**(inputs | changes)).result
        return Path(video.get_stream_source()), state, json.loads(report)

    return run


@pytest.fixture
def written(tiny, monkeypatch):
    """The frames handed to the encoder."""
    frames = []
    writer = tiny.nodes.run.output.VideoWriter
    write = writer.write
    monkeypatch.setattr(writer, "write", lambda self, new: (frames.append(new.clone()), write(self, new))[1])
    return frames


@pytest.fixture
def kept_folder(tiny, tmp_path, monkeypatch) -> Path:
    """The folder of kept moments, of a test's own."""
    place = tmp_path / "moments"
    monkeypatch.setattr(tiny.nodes.host, "moments_folder", lambda: place)
    return place


@pytest.fixture
def graph_film(tiny, stream, kept_folder, monkeypatch):
    """graph_film(text, **values) -> the report of a run that keeps moments, under a graph that has these values."""

    def make(text=GHOSTS, **values):
        values = {**QUICK, "keep_moments_gb": 1.0, **values}
        known, graph = tiny.nodes.run.known, graph_of(values)

        def known_by(hidden, request):
            return known.known_story(graph, NODE, request.positions)

        with monkeypatch.context() as patch:
            patch.setattr(tiny.nodes.stream_to_video, "known_by", known_by)
            return stream(schedule=tiny.schedule(text), memory=tiny.memory(), **values)[2]

    return make


@pytest.fixture
def plan_body():
    """plan_body(text, **values) -> what a page would send for that run."""

    def body(text=GHOSTS, graph=None, **values):
        values = {**QUICK, "keep_moments_gb": 1.0, **values}
        sizes = {name: values[name] for name in ("width", "height", "length", "fps", "steps")}
        graph = graph_of(values) if graph is None else graph
        # as the graph's memory node has it
        return {"schedule": text, "model": "tiny", "memory": {"preset": "Story"}, "node": NODE, "graph": graph, **sizes}

    return body


@pytest.fixture
def graph_plan(tiny, kept_folder, plan_body):
    """graph_plan(text, **values) -> the answer of the plan's route."""

    def ask(*text, **values):
        status, answer = tiny.nodes.api.plan.answer(json.dumps(plan_body(*text, **values)).encode())
        assert status == 200 and "error" not in answer, answer
        return answer

    return ask
