"""Malformed inputs from a seed: each is refused in one sentence, or honoured; none hangs or takes much memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tools.malformed import KINDS

ROOT = Path(__file__).resolve().parents[2]
SEED = 1
MOST_MB = 200
HANGS_S = 300  # for all files of a kind; they take seconds
AT_LEAST = 200
# names that only a program's own exceptions have
INSIDES = ("Traceback", "KeyError", "TypeError", "AttributeError", "IndexError", "NoneType", "object has no attribute")

pytestmark = [pytest.mark.slow]


def cases(kind: str, folder: Path, seed: int = SEED) -> list:
    return list(KINDS[kind](folder, Random(f"{kind} {seed}")))


def assert_one_sentence(message: str, name: str) -> None:
    assert message.endswith(".") and "\n" not in message and "\0" not in message and len(message) <= 500, (
        name,
        message,
    )
    assert not [word for word in INSIDES if word in message], (name, message)


def read_in_child(kind: str, made: list) -> list[dict]:
    """What became of each file, read in a process of little memory."""
    files = [str(case.value) for case in made]
    done = subprocess.run(
        [sys.executable, "-m", "tests.cases.read_malformed", kind, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(files), f"{files[len(rows)]}: {done.stderr[-500:]}"
    return rows


@pytest.mark.parametrize("kind", ["states", "weights"])
def test_a_malformed_file_is_refused_in_one_sentence_or_read(kind, tmp_path):
    made = cases(kind, tmp_path)
    for case, row in zip(made, read_in_child(kind, made), strict=True):
        assert row["kind"] in ("refused", "honoured"), (case.name, row)
        assert row["mb"] <= MOST_MB, (case.name, row)
        if row["kind"] == "refused":
            assert_one_sentence(row["said"], case.name)
            assert case.value.name in row["said"]


@pytest.mark.parametrize("kind", ["states", "weights"])
def test_a_flipped_bit_is_never_read_as_something_else(kind, tmp_path):
    made = [case for case in cases(kind, tmp_path) if "bit" in case.name]
    rows = read_in_child(kind, made)
    # a bit that says nothing, of a date for example, may be honoured; what is read is the same then
    assert len(rows) >= 10 and sum(row["kind"] == "refused" for row in rows) >= 0.8 * len(rows)


def test_there_are_enough_of_them_and_the_same_each_time(tmp_path):
    once, again = ({kind: cases(kind, tmp_path) for kind in KINDS} for _ in range(2))
    assert sum(map(len, once.values())) >= AT_LEAST
    for kind in KINDS:
        assert [case.name for case in once[kind]] == [case.name for case in again[kind]]
        assert len({case.name for case in cases(kind, tmp_path, seed=2)} - {case.name for case in once[kind]}) > 5


def used_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def test_a_malformed_body_is_answered_in_one_sentence(pack, tmp_path):
    api = pack.nodes.api
    answers = {
        "plan": api.plan.answer,
        "schedule": api.schedule.answer,
        "live": lambda body: api.live.answer_post("prompt", "node", body),
    }
    for case in cases("bodies", tmp_path):
        route, body = case.value
        before = used_mb()
        status, content = answers[route](body)
        assert used_mb() - before <= MOST_MB, case.name
        assert status in (200, 400, 404, 409, 413), case.name
        json.dumps(content)
        if "error" in content:
            assert_one_sentence(content["error"], case.name)


def test_a_malformed_name_is_refused_or_makes_a_file_inside_the_folder(pack, tmp_path, monkeypatch):
    import folder_paths

    output = tmp_path / "output"
    output.mkdir()
    monkeypatch.setattr(folder_paths, "output_directory", str(output))
    host = pack.nodes.host
    ways = {
        "a video's": lambda name: host.new_output_file(name, "mp4", width=64, height=64, keep=True).path,
        "a state's": lambda name: host.new_state_file(name).path,
        "a state's to read": host.state_path,
    }
    for case in cases("names", tmp_path):
        for what, use in ways.items():
            try:
                path = use(case.value)
            except (ValueError, FileNotFoundError) as error:
                assert_one_sentence(str(error), f"{what}, {case.name}")
                continue
            assert output in path.parents
            path.write_bytes(b"")
            path.unlink()


def test_a_malformed_sound_is_refused_or_written(pack, tmp_path):
    sound_of, writer_of = pack.nodes.run.output.sound_of, pack.nodes.run.output.video_writer
    import torch

    for number, case in enumerate(cases("sounds", tmp_path)):
        path = tmp_path / f"{number}.mp4"
        try:
            sound = sound_of(case.value, 0)
            with writer_of(path, 16, codec="h264", crf_above_usual=0, metadata={}, sound=sound) as writer:
                writer.write(torch.rand(2, 32, 32, 3))
        except ValueError as error:
            assert_one_sentence(str(error), case.name)
            assert not list(tmp_path.glob(f"{number}.*"))
        else:
            assert path.exists(), case.name


def test_a_damaged_film_is_refused_or_shown(pack, tmp_path):
    pictures, film_of = pack.nodes.report.frame_pictures, pack.nodes.host.video_from_file
    for case in cases("films", tmp_path):
        before = used_mb()
        try:
            shown = pictures(film_of(case.value), {0, 5, 11}, 0)
        except ValueError as error:
            assert_one_sentence(str(error), case.name)
        else:
            assert set(shown) <= {0, 5, 11}
        assert used_mb() - before <= MOST_MB, case.name
