"""The video writer when something goes wrong: a crash, a full disk, a cancelled run, a file in the way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from memflow_core.video import VideoWriter
from memflow_core.video.encoder import CONTAINERS

ROOT = Path(__file__).resolve().parents[3]
HEIGHT, WIDTH = 48, 96
TAGS = {"workflow": "{}", "prompt": '{"1": {}}'}

WRITE_UNTIL_KILLED = """
import sys, torch
from memflow_core.video import VideoWriter
writer = VideoWriter(sys.argv[1], 16, metadata={"workflow": "{}"})
while True:
    writer.write(torch.rand(5, 48, 96, 3))
    print(writer.frames, flush=True)
"""

WRITE_UNTIL_FULL = """
import resource, signal, sys, torch
from memflow_core.video import VideoWriter
limit = int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
writer = VideoWriter(sys.argv[1], 16)
try:
    with writer:
        for _ in range(int(sys.argv[3])):
            writer.write(torch.rand(5, 48, 96, 3))
            print(writer.frames, flush=True)
except OSError as error:
    print(error)
"""


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


@pytest.mark.slow
@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_killed_process_leaves_a_file_that_plays_to_the_last_write(ending, tmp_path, read_pictures, read_tags):
    path = tmp_path / f"story{ending}"
    with subprocess.Popen(python(WRITE_UNTIL_KILLED, path), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        written = [int(process.stdout.readline()) for _ in range(6)][-1]
        process.send_signal(signal.SIGKILL)
        written = [written, *map(int, process.stdout.read().split())][-1]
    unfinished = tmp_path / f"story.unfinished{ending}"
    # one more write may have ended before its number was printed
    assert written <= len(read_pictures(unfinished)) <= written + 5
    assert read_tags(unfinished)["workflow"] == "{}"
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_disk_that_fills_up_loses_nothing_that_was_written(ending, tmp_path, read_pictures):
    path = tmp_path / f"story{ending}"
    done = subprocess.run(
        python(WRITE_UNTIL_FULL, path, 150_000, 1000), cwd=ROOT, capture_output=True, text=True, check=True
    )
    *counts, message = done.stdout.splitlines()
    unfinished = tmp_path / f"story.unfinished{ending}"
    assert int(counts[-1]) >= 10
    assert len(read_pictures(unfinished)) == int(counts[-1])
    assert f"frame {counts[-1]}" in message and os.strerror(errno.EFBIG) in message and unfinished.name in message
    assert [file.name for file in tmp_path.iterdir()] == [unfinished.name]


def test_a_disk_that_is_full_only_when_the_file_is_finished_loses_nothing(tmp_path, read_pictures):
    path = tmp_path / "story.mp4"
    writer = VideoWriter(path, 16)
    writer.write(torch.rand(30, HEIGHT, WIDTH, 3))
    # room for half a copy
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer.unfinished.stat().st_size // 2, before[1]))
    try:
        with pytest.raises(OSError, match=r"could not be finished.*story\.unfinished\.mp4 holds 30 frames"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(read_pictures(writer.unfinished)) == 30
    assert [file.name for file in tmp_path.iterdir()] == [writer.unfinished.name]


def test_the_unfinished_file_stays_if_the_finished_one_lacks_frames(tmp_path, monkeypatch, stripes, read_pictures):
    short, path = tmp_path / "short.mp4", tmp_path / "story.mp4"
    with VideoWriter(short) as writer:
        writer.write(stripes(9))
    monkeypatch.setattr("memflow_core.video.writer.remux", lambda _, target, **_settings: short.rename(target))
    writer = VideoWriter(path)
    writer.write(stripes(10))
    with pytest.raises(OSError, match="not complete"):
        writer.close()
    assert len(read_pictures(writer.unfinished)) == 10 and not path.exists()


class Cancelled(BaseException):
    pass


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_cancelled_video_stays_and_plays(ending, tmp_path, stripes, read_pictures, read_tags):
    with pytest.raises(Cancelled), VideoWriter(tmp_path / f"story{ending}", 16, metadata=TAGS) as writer:
        writer.write(stripes(12))
        writer.write(stripes(12))
        raise Cancelled
    assert [file.name for file in tmp_path.iterdir()] == [f"story.unfinished{ending}"]
    assert len(read_pictures(writer.unfinished)) == writer.frames == 24
    assert TAGS.items() <= read_tags(writer.unfinished).items()
    assert writer.abort() is None
    with pytest.raises(ValueError, match="takes no more frames"):
        writer.write(stripes(1))


def test_nothing_is_left_of_a_video_without_frames(tmp_path):
    with pytest.raises(Cancelled), VideoWriter(tmp_path / "story.mp4"):
        raise Cancelled
    with (
        pytest.raises(ValueError, match=r"no frames.*story\.mp4"),
        VideoWriter(tmp_path / "story.mp4") as writer,
    ):
        writer.write(torch.empty(0, HEIGHT, WIDTH, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["story.mp4", "story.unfinished.mp4"])
def test_a_file_that_is_there_is_never_replaced(name, tmp_path):
    (tmp_path / name).write_text("precious")
    with pytest.raises(FileExistsError, match=name.replace(".", r"\.")):
        VideoWriter(tmp_path / "story.mp4")
    assert (tmp_path / name).read_text() == "precious"


def test_a_file_that_appears_while_writing_is_not_replaced_either(tmp_path, stripes, read_pictures):
    writer, second = VideoWriter(tmp_path / "story.mp4"), VideoWriter(tmp_path / "story.mp4")
    writer.write(stripes(10))
    with pytest.raises(FileExistsError), second:
        second.write(stripes(10))
    (tmp_path / "story.mp4").write_text("precious")
    with pytest.raises(OSError, match=r"appeared.*story\.unfinished\.mp4 holds 10 frames"):
        writer.close()
    assert (tmp_path / "story.mp4").read_text() == "precious"
    assert len(read_pictures(writer.unfinished)) == 10


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    pages, page = Path("/proc/self/statm"), resource.getpagesize()
    frames, sizes = torch.rand(4, 128, 128, 3), []
    with VideoWriter(tmp_path / "story.mp4", 16, metadata=TAGS) as writer:
        for number in range(300):
            writer.write(frames)
            if number in (50, 299):
                sizes.append(int(pages.read_text().split()[1]) * page)
        written = writer.unfinished.stat().st_size
    assert written > 10e6
    assert sizes[1] - sizes[0] < written / 3
