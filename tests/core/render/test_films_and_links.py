"""Films, tags, the journal's files, and a program that ends with its starter."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from memflow_core.render import JobError
from memflow_core.render.film import first_picture, join
from memflow_core.render.journal import read_json, write_json
from memflow_core.render.server import LAUNCH
from memflow_core.render.tags import read_tags
from tests.core.render.fakes import FRAMES_A_PART, frames, write_film


def test_a_program_ends_with_its_starter(tmp_path):
    (tmp_path / "main.py").write_text("import sys, time\nprint(sys.argv[1:], flush=True)\ntime.sleep(60)")
    command = [sys.executable, str(LAUNCH), "main.py", "--listen", "x"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "['--listen', 'x']"
    process.stdin.close()
    assert process.wait(30) == 1


def test_a_film_of_parts_has_their_frames_and_its_tags(tmp_path):
    for key in "abc":
        write_film(tmp_path / f"{key}.mp4", key)
    parts = [tmp_path / f"{key}.mp4" for key in "abca"]
    for ending in ("mp4", "mkv"):
        target = tmp_path / f"all.{ending}"
        assert join(parts, target, fps=16, tags={"prompt": '{"a": 1}'}) == 4 * FRAMES_A_PART
        assert frames(target) == [frame for part in parts for frame in frames(part)]
        assert read_tags(target)["prompt"] == '{"a": 1}'
        with av.open(target) as file:
            times = [frame.pts * frame.time_base for frame in file.decode(video=0)]
        steps = [float(later - earlier) for earlier, later in itertools.pairwise(times)]
        assert times[0] == 0 and all(abs(step - 1 / 16) < 1e-3 for step in steps)


def test_parts_of_other_sizes_are_not_joined_and_leave_no_file(tmp_path):
    write_film(tmp_path / "a.mp4", "a")
    with av.open(tmp_path / "b.mp4", "w") as file:
        stream = file.add_stream("mpeg4", rate=16)
        stream.width = stream.height = 32
        file.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        file.mux(stream.encode(None))
    with pytest.raises(JobError, match="otherwise"):
        join([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "all.mp4", fps=16, tags={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_the_first_picture_is_a_jpeg(tmp_path):
    write_film(tmp_path / "a.mp4", "a")
    first_picture(tmp_path / "a.mp4", tmp_path / "a.jpg")
    with av.open(tmp_path / "a.jpg") as file:
        frame = next(file.decode(video=0))
    assert (frame.width, frame.height) == (16, 16)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\ufeff{}", '{"a": '])
def test_a_damaged_record_counts_as_not_there(tmp_path, text):
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    assert read_json(tmp_path / "x.json") is None
    assert read_json(tmp_path / "gone.json") is None


def test_a_record_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_json(tmp_path / "x.json", {"a": 1})

    def broken(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError):
        write_json(tmp_path / "x.json", {"a": 2})
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_what_is_no_video_of_ours_has_no_tags(tmp_path):
    write_film(Path(tmp_path / "a.mp4"), "a")
    with pytest.raises(JobError, match="workflow"):
        read_tags(tmp_path / "a.mp4")
