"""Stories rendered by real ComfyUIs, while workers and drivers are killed: every decoded frame is as without that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from memflow_core.render import failure
from memflow_core.render.command import main
from memflow_core.render.journal import ASIDE, DONE, Journal
from tests.cases.job_files import graph
from tests.core.render.test_sound_and_chains import heard, tone
from tools.comfy_host import ROOT, make_base
from tools.comfy_server import output_files

pytestmark = pytest.mark.slow

# two stories that begin alike, and one of its own
STORIES = {
    "ends_with_cat": ["the meadow lies empty", "a robot walks across the meadow", "a cat walks across the city"],
    "ends_empty": ["the meadow lies empty", "a robot walks across the meadow", "nobody is in the city"],
    "alone": ["the beach lies empty", "the robot returns to the meadow"],
    "chained": ["the meadow lies empty", "a cat walks across the meadow", "nobody is in the city"],
}
TONE = "memflow_tone.wav"
SET = ["--set", "steps=1000", "--every", "60", "--silence", "120"]


def frames(path: Path) -> list[np.ndarray]:
    with av.open(path) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def same(left: Path, right: Path) -> bool:
    one, two = frames(left), frames(right)
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.fixture(scope="module")
def stories(tmp_path_factory) -> list[str]:
    """Paths of the stories, of two chunks a prompt: schedules, and a chain of Prompt Segments with sound."""
    folder = tmp_path_factory.mktemp("stories")
    (folder / "chained.json").write_text(json.dumps(chain(STORIES["chained"])))
    paths = [str(folder / "chained.json")]
    for name, prompts in STORIES.items():
        if name == "chained":
            continue
        lines = [f"{2 * place}c: {prompt}" for place, prompt in enumerate(prompts)]
        (folder / f"{name}.txt").write_text("\n".join([f"length: {2 * len(prompts)}c", *lines]))
        paths.append(str(folder / f"{name}.txt"))
    return paths


def chain(prompts: list[str]) -> dict:
    """A graph of two chunks a prompt, with its prompts in a chain of segments, and a sound."""
    made = graph()
    made.pop("3")
    made["8"] = {"class_type": "LoadAudio", "inputs": {"audio": TONE}}
    link = {}
    for number, prompt in enumerate(prompts):
        made[f"1{number}"] = {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["2", 1]}}
        inputs = {"conditioning": [f"1{number}", 0], "start": 2.0 * number, "unit": "chunks", "switch": "recache"}
        made[f"2{number}"] = {"class_type": "MemFlowPromptSegment", "inputs": inputs | link}
        link = {"schedule": [f"2{number}", 0]}
    made["5"]["inputs"] |= {**link, "length": 12 * 2 * len(prompts) - 3, "audio": ["8", 0]}
    return made


@pytest.fixture(scope="module")
def options(comfy_path, tmp_path_factory) -> list[str]:
    workflow = ROOT / "workflows" / "tiny_story.json"
    base = tmp_path_factory.mktemp("base")
    make_base(base)
    tone(base / "input" / TONE, 1.5)
    return ["--workflow", str(workflow), "--comfyui", str(comfy_path), "--base", str(base), *SET]


@pytest.fixture(scope="module")
def undisturbed(stories, options, tmp_path_factory) -> Journal:
    out = tmp_path_factory.mktemp("undisturbed")
    assert main([*stories, "--out", str(out), *options]) == 0
    return Journal(out)


def films(journal: Journal) -> dict[str, Path]:
    return {r.name: journal.out / r.files[0] for r in journal.records() if r.state == DONE}


def assert_same(journal: Journal, undisturbed: Journal) -> None:
    made, meant = films(journal), films(undisturbed)
    assert made.keys() == meant.keys() == STORIES.keys()
    assert all(same(made[name], meant[name]) for name in meant)
    assert np.array_equal(heard(made["chained"]), heard(meant["chained"]))


def test_films_are_whole_and_carry_their_workflow(undisturbed):
    for name, path in films(undisturbed).items():
        assert len(frames(path)) == 12 * 2 * len(STORIES[name]) - 3
        with av.open(path) as file:
            assert float(file.streams.video[0].average_rate) == 16
            assert all(prompt in file.metadata["memflow_played"] for prompt in STORIES[name])
            workflow = json.loads(file.metadata.get("workflow", "null"))
        if name != "chained":
            (schedule,) = [node for node in workflow["nodes"] if node["type"] == "MemFlowPromptSchedule"]
            assert STORIES[name][-1] in schedule["widgets_values"][0]
    # the beginning that two stories share was made once; the sound is a part too
    assert len(list(undisturbed.parts.glob("*.json"))) == 2 + 1 + 1 + 2 + 3 + 1
    assert "<video" in (undisturbed.out / "sheet.html").read_text()


@pytest.mark.parametrize("name", ["alone", "chained"])
def test_a_film_in_parts_shows_what_the_whole_shows(undisturbed, comfy, name):
    """Made in one piece by a ComfyUI alone, the film is the same but for how its encoder began anew at each moment."""
    tone(comfy.input_dir / TONE, 1.5)
    record = next(record for record in undisturbed.records() if record.name == name)
    run = comfy.run(record.graph)
    assert failure(run.history) is None, failure(run.history)
    (file,) = output_files(run.history, ".mp4")
    whole, parts = frames(comfy.path_of(file)), frames(films(undisturbed)[name])
    assert len(whole) == len(parts)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(whole, parts, strict=True)) < 2
    if name == "chained":
        one, other = heard(comfy.path_of(file)), heard(films(undisturbed)[name])
        assert len(one) == len(other) and np.abs(one - other).max() < 0.01 and np.abs(one).max() > 0.3


def test_a_result_goes_back_to_a_workflow(undisturbed, tmp_path, capsys):
    assert main(["--back", str(films(undisturbed)["alone"]), "--out", str(tmp_path)]) == 0
    written = Path(capsys.readouterr().out.strip())
    assert json.loads(written.read_text()) == next(r for r in undisturbed.records() if r.name == "alone").workflow


def wait_for(what, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def processes() -> list[tuple[int, int, str]]:
    """(process id, its parent's, its command) of all that run here."""
    # ww: commands as long as they are
    listing = subprocess.run(["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()[1:]]
    return [(int(row[0]), int(row[1]), row[2]) for row in rows]


def children_of(pid: int, command: str) -> list[int]:
    """Process ids of the children of a process whose command has some words in it, by age."""
    return sorted(child for child, parent, words in processes() if parent == pid and command in words)


def workers_of(pid: int) -> list[int]:
    """Process ids of a driver's workers."""
    return children_of(pid, "memflow_core.render.worker")


def servers_of(pid: int) -> list[int]:
    """Process ids of a worker's ComfyUIs."""
    return children_of(pid, "launch.py")


def test_a_killed_worker_and_a_killed_driver_lose_nothing(stories, options, undisturbed, tmp_path):
    journal = Journal(tmp_path / "out")
    command = [sys.executable, "-m", "memflow_core.render", *stories, "--out", str(journal.out), *options]
    driver = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: len(list(journal.parts.glob("*.json"))) >= 1)
        (worker,) = workers_of(driver.pid)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: workers_of(driver.pid) not in ([], [worker]))
        wait_for(lambda: len(list(journal.parts.glob("*.json"))) >= 3)
        (worker,) = workers_of(driver.pid)
    finally:
        driver.kill()
        driver.wait()
    # the worker, and with it its ComfyUI, ends with the driver
    wait_for(lambda: not Path(f"/proc/{worker}").exists(), 60)
    kept = {path: path.stat().st_mtime_ns for path in journal.parts.glob("*.json")}
    assert main([*stories, "--out", str(journal.out), *options]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert_same(journal, undisturbed)


def test_a_ray_cluster_makes_the_same_though_an_actor_is_killed(stories, options, undisturbed, tmp_path):
    journal = Journal(tmp_path / "out")
    command = [sys.executable, "-m", "memflow_core.render", *stories, "--out", str(journal.out), *options]
    driver = subprocess.Popen([*command, "--cluster", "local:2"], cwd=ROOT)
    try:
        wait_for(lambda: driver.poll() is not None or len(list(journal.parts.glob("*.json"))) >= 1)
        assert driver.poll() is None, "the driver ended before anything was made"
        # workers are children of actors, and end with them
        actors = [
            ppid for _, ppid, command in processes() if "render.worker" in command and str(journal.out) in command
        ]
        os.kill(actors[0], signal.SIGKILL)
        assert driver.wait(500) == 0
    finally:
        driver.kill()
        driver.wait()
    assert_same(journal, undisturbed)


def test_two_comfyuis_make_one_story_though_one_is_killed(stories, options, undisturbed, tmp_path):
    """As one makes it, but for the rounding of sums; and each time the same."""
    journal = Journal(tmp_path / "out")
    story = next(path for path in stories if "alone" in path)
    together = [story, "--out", str(journal.out), *options, "--gpus-per-story", "2"]
    driver = subprocess.Popen([sys.executable, "-m", "memflow_core.render", *together], cwd=ROOT)
    try:
        wait_for(lambda: len(list(journal.parts.glob("*.json"))) >= 1)
        (worker,) = workers_of(driver.pid)
        os.kill(servers_of(worker)[1], signal.SIGKILL)
        assert driver.wait(500) == 0
    finally:
        driver.kill()
        driver.wait()
    (disturbed,) = films(journal).values()
    one, two = frames(films(undisturbed)["alone"]), frames(disturbed)
    assert len(one) == len(two)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(one, two, strict=True)) < 0.5
    again = Journal(tmp_path / "again")
    assert main([arg.replace(str(journal.out), str(again.out)) for arg in together]) == 0
    assert same(disturbed, films(again)["alone"])


def test_what_the_server_refuses_is_set_aside_with_its_log(undisturbed, options, tmp_path, capsys):
    graph = json.loads(json.dumps(undisturbed.records()[0].graph))
    (stream,) = [node for node in graph.values() if node["class_type"] == "MemFlowStreamToVideo"]
    stream["inputs"]["format"] = "gif"
    (tmp_path / "bad.json").write_text(json.dumps(graph))
    assert main([str(tmp_path / "bad.json"), "--out", str(tmp_path / "out"), *options]) == 1
    (record,) = Journal(tmp_path / "out").records()
    assert record.state == ASIDE and "format" in record.problem and "\n" not in record.problem
    assert (tmp_path / "out" / record.log).is_file()
