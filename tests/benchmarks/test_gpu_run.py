"""The command for a GPU, on a CPU: every section but those in ComfyUI, and what happens where one fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_run import (
    NOT_MEASURED,
    Bench,
    MissError,
    Record,
    Section,
    attention_errors,
    replay_recordings,
    run,
    sections,
    write_error,
)
from memflow_core.attention import fused_rope_write
from memflow_core.model import sdpa

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
TRITON = find_spec("triton") is not None
FAULTS = ("keys not turned", "one frame beside its slot", "a slot too many", "wrong without queries")
IN_COMFYUI = ("decode", "disk")


@pytest.fixture
def bench() -> Bench:
    return Bench(CPU, tiny=True)


@pytest.mark.slow
def test_every_section_runs_on_a_cpu(tmp_path):
    names = [one.name for one in sections(Bench(CPU, tiny=True), lambda: pytest.fail("no nodes"), lambda: 0.0)]
    wanted = [name for name in names if not name.startswith(IN_COMFYUI)]
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks.gpu_run", str(out), "--tiny", "--only", *wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    assert list(results) == wanted and all(result["ok"] for result in results.values())
    assert {"commit", "torch", "device", "versions"} <= results["machine"].keys()
    assert results["exact"]["relative_error"]["dense torch"] < 1e-5
    assert all(case["passed"] for case in results["golden"].values() if isinstance(case, dict))
    assert results["resumed"]["equal"] == {"bank": True, "SMA": True}
    assert results["speed: bank"]["frames_a_second"] > 0 and results["where"]["launches"] > 0


def test_a_backend_that_is_wrong_leaves_the_rest_unmeasured(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(Bench, "backends", {"torch": sdpa, "rough": lambda q, k, v: sdpa(q, k, v) * 1.01})
    record = run(bench, tmp_path / "out.json", 100, ["exact", "golden", "speed: bank"])
    assert record.failed == ["exact"]
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["exact"]["error"] == "MissError: dense rough is wrong on this device."
    assert results["exact"]["relative_error"]["dense rough"] == pytest.approx(0.01, rel=0.01)
    assert results["golden"] == results["speed: bank"] == {NOT_MEASURED: "exact failed."}


@pytest.mark.parametrize("off", [torch.nan, torch.inf])
def test_numbers_that_are_none_are_wrong(off, bench, monkeypatch):
    monkeypatch.setattr(Bench, "backends", {"torch": sdpa, "broken": lambda q, k, v: sdpa(q, k, v) + off})
    with pytest.raises(MissError, match="dense broken is wrong"):
        attention_errors(bench)


def test_a_backend_that_reads_beyond_its_frames_is_wrong(bench, monkeypatch):
    def greedy(q, k, v):
        longer = [x.as_strided((*x.shape[:2], x.shape[2] + 1, x.shape[3]), x.stride()) for x in (k, v)]
        return sdpa(q, *longer)

    monkeypatch.setattr(Bench, "backends", {"torch": sdpa, "greedy": greedy})
    with pytest.raises(MissError, match="dense greedy is wrong"):
        attention_errors(bench)


def test_a_backend_that_cannot_run_is_left_out(bench, monkeypatch):
    def absent(q, k, v):
        raise RuntimeError("no kernel image is available\nfor this device")

    monkeypatch.setattr(Bench, "backends", {"torch": sdpa, "absent": absent})
    assert attention_errors(bench)["left_out"] == {"dense absent": "RuntimeError: no kernel image is available"}


@pytest.mark.parametrize("fault", FAULTS if TRITON else ())
def test_a_kernel_that_writes_wrong_is_found(fault, bench, monkeypatch):
    """Here the kernel runs in Triton's interpreter."""
    assert write_error(bench) < 1e-5

    def wrong(q, k, v, to):
        if fault == "keys not turned" or (fault == "wrong without queries" and not q.shape[2]):
            to = replace(to, turn_keys=False)
        if fault == "one frame beside its slot":
            to = replace(to, runs=[*to.runs[:-1], (to.runs[-1][0] + 1, *to.runs[-1][1:])])
        if fault == "a slot too many":
            to.keys[:, :, to.runs[0][0] - 1] = 0
        return fused_rope_write(q, k, v, to)

    monkeypatch.setattr("benchmarks.gpu_run.exact.fused_rope_write", wrong)
    error = write_error(bench)
    assert error != error or error > 0.1


def test_a_recording_that_is_not_there_or_not_met_is_a_miss(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu_run.golden.OF_TINY", ("no_such_recording",))
    with pytest.raises(MissError, match="no_such_recording is not in tests/golden"):
        replay_recordings(bench)
    record = run(bench, tmp_path / "out.json", 100, ["golden", "speed: bank", "where"])
    assert record.results["where"] == {NOT_MEASURED: "golden failed."}


def test_the_file_is_whole_after_each_section_and_one_that_fails_is_told(tmp_path):
    out = tmp_path / "out.json"

    def second():
        assert json.loads(out.read_text()) == record.results and "first" in record.results
        raise ValueError("a driver says no\nand more")

    record = Record(out, 100)
    record.run([Section("first", lambda: {"a": float("nan")}, 0), Section("second", second, 0)])
    record.run([Section("third", lambda: {"b": 1}, 0)])
    results = json.loads(out.read_text())
    assert results["first"]["a"] == "nan" and results["third"]["ok"]
    assert results["second"]["error"] == "ValueError: a driver says no" and record.failed == ["second"]
    assert list(tmp_path.iterdir()) == [out]


def test_what_no_longer_fits_is_left_out_and_what_takes_too_long_is_broken_off(tmp_path):
    record = Record(tmp_path / "out.json", 0.4)
    began = time.monotonic()
    record.run([Section("long", lambda: time.sleep(60) or {}, 0), Section("late", dict, 7)])
    assert time.monotonic() - began < 30
    assert "took longer than the 0 s that were left" in record.results["long"]["error"]
    assert record.results["late"] == {NOT_MEASURED: "0 s are left, and it takes 7."}
