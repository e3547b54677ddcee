"""Kept moments over the life of servers: a restart, a kill in the middle of keeping, and two servers on one folder."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from memflow_core.keep import Library
from memflow_core.render import failure
from memflow_core.state import StreamState
from tools.comfy_server import Server, ServerError, output_files

STORY = "0s: a robot walks in the meadow\n1s: an empty beach\n2.8s: a cat stands in the city"
CHANGED = STORY.replace("a cat stands", "a cat waves")
FILM = "4"
# two chunks for each prompt
LENGTH, CHUNKS, LAST = 69, 6, 4


def graph(text: str, seed: int, gb: float = 1.0, length: int = LENGTH) -> dict[str, Any]:
    film = {"model": ["1", 0], "vae": ["1", 2], "schedule": ["2", 0], "seed": seed, "keep_moments_gb": gb}
    film |= {"width": 64, "height": 64, "length": length, "fps": 16.0, "steps": "1000", "shift": 5.0}
    film |= {"filename_prefix": "story", "format": "mp4 (h264)", "quality": "high", "save_output": True}
    schedule = {"clip": ["1", 1], "prompts": text, "global_prompt": ""}
    return {
        "1": {"class_type": "MemFlowTinyStory", "inputs": {}},
        "2": {"class_type": "MemFlowPromptSchedule", "inputs": schedule},
        FILM: {"class_type": "MemFlowStreamToVideo", "inputs": film},
    }


def render(server: Server, prompt: dict[str, Any], on_event=None) -> tuple[Path, list[int]]:
    """The film, and the chunks that were made for it."""
    run = server.run(prompt, on_event)
    assert failure(run.history) is None, failure(run.history)
    (file,) = output_files(run.history, ".mp4")
    chunks = [event["data"] for event in run.events if event["type"] == "memflow.chunk"]
    return server.path_of(file), [data["chunk"] for data in chunks if not data.get("kept")]


def body(text: str, seed: int) -> dict[str, Any]:
    prompt = graph(text, seed)
    sizes = {name: prompt[FILM]["inputs"][name] for name in ("width", "height", "length", "fps", "steps")}
    return {"schedule": text, "model": "tiny", "graph": prompt, "node": FILM, **sizes}


def frames_of(path: Path) -> np.ndarray:
    with av.open(path) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def assert_all_listed_loads(folder: Path) -> int:
    """Returns how many moments there are."""
    told: list[str] = []
    library = Library(folder, 2**30, told.append)
    files = library.files()
    for file in files:
        first = int(file.path.stem.split("_")[2]) if file.kind in ("latents", "film") else 0
        if file.kind == "moment":
            assert StreamState.load(file.path).chunks > 0
        elif file.kind == "latents":
            assert library.latents(file.digest, first) is not None
        elif file.kind == "film":
            encoding = file.path.stem.rpartition("_")[2]
            assert library.film(file.digest, first, encoding) is not None
    assert all(library.label(name) is not None for name in library.labels()) and told == []
    return sum(file.kind == "moment" for file in files)


@pytest.fixture(scope="module")
def servers(comfy_path, tmp_path_factory):
    """Two servers, each with a base of its own, on one user folder; the second is started by the test."""
    user = tmp_path_factory.mktemp("user")
    made = [
        Server(comfy_path, tmp_path_factory.mktemp("comfy"), options=("--user-directory", str(user))) for _ in range(2)
    ]
    try:
        made[0].start()
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    yield made, user / "memflow_moments"
    for server in made:
        server.stop()


def test_kept_moments_and_takes_outlive_restarts_kills_and_other_servers(servers):
    (server, other), folder = servers
    assert render(server, graph(STORY, 1))[1] == list(range(CHUNKS))
    takes = server.post("/memflow/takes", body(STORY, 1))["takes"]
    assert [take["segment"] for take in takes] == [0, 1, 2]

    server.restart()
    assert server.post("/memflow/takes", body(STORY, 1))["takes"] == takes
    assert server.post("/memflow/plan", body(CHANGED, 1))["kept"]["chunk"] == LAST
    path, made = render(server, graph(CHANGED, 1))
    assert made == list(range(LAST, CHUNKS))

    # another server takes up the same, while this one keeps a story of its own
    other.start()
    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(render, server, graph(STORY, 2))
        theirs = pool.submit(render, other, graph(STORY.replace("a cat stands", "a ghost stands"), 1))
        assert mine.result()[1] == list(range(CHUNKS)) and theirs.result()[1] == list(range(LAST, CHUNKS))
    before = assert_all_listed_loads(folder)
    assert before >= 3 + 1 + 3 + 1

    # killed while it keeps; what is listed is whole, and the next run goes on from there
    def kill(event: dict[str, Any]) -> None:
        if event["type"] == "memflow.chunk" and event["data"]["chunk"] == LAST:
            server.end_by(signal.SIGKILL)

    with pytest.raises(ServerError):
        render(server, graph(STORY, 3), kill)
    assert assert_all_listed_loads(folder) >= before
    server.start()
    again, made = render(server, graph(STORY, 3))
    assert made[0] in (0, 2, 4) and made == list(range(made[0], CHUNKS))
    fresh, whole = render(other, graph(STORY, 3, gb=0.0))
    assert whole == list(range(CHUNKS)) and np.array_equal(frames_of(again), frames_of(fresh))
    assert np.array_equal(frames_of(path), frames_of(render(other, graph(CHANGED, 1, gb=0.0))[0]))
