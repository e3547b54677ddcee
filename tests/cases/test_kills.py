"""Kills, cancels and full disks at random moments of a run: what was finished stays, and nothing else does."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memflow_core.disk import remove_stale_drafts
from memflow_core.state import StreamState
from memflow_core.video import VideoWriter
from tools.comfy_server import Server

ROOT = Path(__file__).resolve().parents[2]
SEED, KILLS, CANCELS, DISKS = 14, 10, 6, 10
HANGS_S = 300
FILM_FRAMES = 36


@pytest.mark.slow
def test_ten_kills_lose_nothing_that_was_finished(tmp_path, read_pictures):
    command = [sys.executable, "-m", "tests.cases.stream_until_killed", str(tmp_path), str(SEED), str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=True)
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) == KILLS
    for kill in kills:
        folder = Path(kill["folder"])
        written = {int(film): int(frames) for what, film, *rest in kill["said"] if what == "chunk" for frames in rest}
        states = [name for what, name, *_ in kill["said"] if what == "state"]
        for film, frames in written.items():
            finished, growing = folder / f"film_{film:03}.mp4", folder / f"film_{film:03}.unfinished.mp4"
            # a kill between the name and the end of the unfinished file leaves both
            whole = finished if finished.exists() else growing
            assert len(read_pictures(whole)) >= frames, (kill, film)
            assert not finished.exists() or len(read_pictures(finished)) == FILM_FRAMES
        for name in states:
            assert StreamState.load(folder / name).chunks > 0
        # one that was not yet said may be there, and is whole then
        for state in folder.glob("[!.]*.safetensors"):
            StreamState.load(state)
        before = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
        VideoWriter(folder / "next.mp4").abort()
        assert {file.name for file in folder.iterdir()} == before, "drafts stay, or more than drafts went"


STEPS = """
import os, signal, sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import torch
from memflow_core.disk import draft
from memflow_core.state import stream_state
from memflow_core.video import VideoWriter
from tools.malformed import saved_streams

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

folder, what, step = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
state = saved_streams()[0]
writer = VideoWriter(folder / "story.mp4")
writer.write(torch.rand(6, 32, 32, 3))
if step == "written":
    draft.sync_file = kill
elif step == "synced":
    os.replace = kill
else:
    draft.sync_folder = kill
writer.close() if what == "film" else state.save(folder / "story.safetensors")
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["film", "state"])
@pytest.mark.parametrize("step", ["written", "synced", "named"])
def test_a_kill_at_each_step_of_finishing_leaves_a_whole_file_or_a_draft_that_goes(what, step, tmp_path, read_pictures):
    done = subprocess.run([sys.executable, "-c", STEPS, tmp_path, what, step], cwd=ROOT, timeout=HANGS_S, check=False)
    assert done.returncode == -signal.SIGKILL
    names = {file.name for file in tmp_path.iterdir()}
    drafts = {name for name in names if name.startswith(".memflow-draft-")}
    assert len(drafts) == (step != "named")
    assert set(remove_stale_drafts(tmp_path)) == drafts
    finished = "story.mp4" if what == "film" else "story.safetensors"
    expected = {"story.unfinished.mp4"} | ({finished} if step == "named" else set())
    assert {file.name for file in tmp_path.iterdir()} == expected
    for name in expected:
        if name.endswith(".mp4"):
            assert len(read_pictures(tmp_path / name)) == 6
        else:
            StreamState.load(tmp_path / name)


class Cancelled(BaseException):
    pass


@pytest.mark.parametrize("number", range(CANCELS))
def test_a_cancel_at_any_moment_leaves_a_film_that_plays(number, tmp_path, noise, read_pictures):
    chunks = random.Random(f"{SEED} {number}").randrange(0, 9)
    ending = ("mp4", "webm", "mkv")[number % 3]
    with pytest.raises(Cancelled), VideoWriter(tmp_path / f"story.{ending}") as writer:
        for _ in range(chunks):
            writer.write(noise(3))
        raise Cancelled
    left = [file.name for file in tmp_path.iterdir()]
    assert left == ([f"story.unfinished.{ending}"] if chunks else [])
    if chunks:
        assert len(read_pictures(writer.unfinished)) == 3 * chunks


@contextmanager
def disk_of(room: int) -> Iterator[None]:
    """No file can become longer than `room` bytes: the system then refuses to write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("number", range(DISKS))
def test_a_disk_that_is_full_after_any_byte_keeps_what_was_written(number, tmp_path, noise, read_pictures):
    frames = noise(60)
    with VideoWriter(tmp_path / "whole.mp4") as writer:
        for piece in frames.split(6):
            writer.write(piece)
    size = (tmp_path / "whole.mp4").stat().st_size
    room = random.Random(f"{SEED} {number}").randrange(size + size // 8)
    writer, said = VideoWriter(tmp_path / "story.mp4"), ""
    try:
        with disk_of(room), writer:
            for piece in frames.split(6):
                writer.write(piece)
    except OSError as error:
        said = str(error)
        assert "\n" not in said and said.endswith(".") and "story.mp4 could not be" in said
    left = {file.name for file in tmp_path.iterdir()} - {"whole.mp4"}
    if not said:
        assert left == {"story.mp4"} and len(read_pictures(tmp_path / "story.mp4")) == 60
    elif writer.frames:
        assert left == {"story.unfinished.mp4"} and len(read_pictures(writer.unfinished)) == writer.frames
        assert f"holds {writer.frames} frames" in said
    else:
        assert left == set() and "nothing was kept" in said


@pytest.mark.parametrize("number", range(DISKS))
def test_a_disk_that_is_full_while_a_state_is_saved_keeps_no_half_of_it(number, tmp_path, saved):
    saved[0].save(tmp_path / "whole.safetensors")
    size = (tmp_path / "whole.safetensors").stat().st_size
    room = random.Random(f"{SEED} {number}").randrange(size)
    said = r"^story\.safetensors could not be saved: .*; nothing was written\.$"
    with pytest.raises(OSError, match=said), disk_of(room):
        saved[0].save(tmp_path / "story.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["whole.safetensors"]


@pytest.fixture
def heeds_ctrl_c():
    """Programs that are started here heed Ctrl-C, also where the tests run in a shell's background, which does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_during_a_run_ends_the_server_as_it_ends_without_one(comfy_path, tmp_path, read_pictures):
    """Exit code 0, and a film that plays: Python may not end the thread that samples by force."""
    workflow = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
    with Server(comfy_path, tmp_path / "base") as server:
        prompt = server.convert(workflow)
        for node in prompt.values():
            if node["class_type"] == "MemFlowStreamToVideo":
                node["inputs"] |= {"length": 100_005, "seed": 3}
        server.post("/prompt", {"prompt": prompt})
        end = time.monotonic() + HANGS_S
        while not (growing := list(server.output_dir.rglob("*.unfinished.mp4"))):
            assert time.monotonic() < end, server.log.read_text()[-2000:]
            time.sleep(0.2)
        assert server.end_by(signal.SIGINT, within_s=HANGS_S) == 0
    assert len(read_pictures(growing[0])) >= 9
    assert not list(server.output_dir.rglob(".memflow-draft-*"))
