"""Every recording of the published program is reproduced, and one that is not fails the run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._dynamo.utils import counters

from tests.parity.case import WAYS
from tests.parity.replay import find_cases, main, run_case

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CASES = {case.path.stem: case for case in find_cases(GOLDEN)}


@pytest.mark.parametrize("name", CASES)
def test_recording(name):
    check = run_case(CASES[name])
    assert check.passed, (check.wrong, check.worst)


@pytest.mark.parametrize("name", CASES)
def test_recording_through_a_compiler(name):
    """Every graph that a compiler would make machine code of."""
    check = run_case(replace(CASES[name], way=WAYS["traced"]))
    assert check.passed, (check.wrong, check.worst)


if shutil.which("g++"):

    @pytest.mark.slow
    def test_recording_in_machine_code():
        check = run_case(replace(CASES["inter_b3r3_gs_sma"], way=WAYS["compiled"]))
        assert check.passed, (check.wrong, check.worst)


def test_a_prompt_switch_compiles_nothing():
    torch.compiler.reset()
    case, before = replace(CASES["inter_b3r3_gs"], way=WAYS["traced"]), counters["stats"]["unique_graphs"]
    assert run_case(case).passed
    assert counters["stats"]["unique_graphs"] - before == 2, "into attention and out of it, for all layers and chunks"


def test_no_recording_is_left_out():
    assert len(CASES) == 26


@pytest.fixture
def recording(tmp_path) -> Path:
    for path in [*GOLDEN.glob("single_b3r3.*"), *GOLDEN.glob("v_*")]:
        shutil.copy(path, tmp_path)
    return tmp_path


def test_a_reproduced_folder_passes(recording, capsys):
    assert main(str(recording)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed"


def test_latents_that_differ_fail(recording, capsys):
    file = recording / "single_b3r3.safetensors"
    tensors = load_file(file)
    tensors["latents"][0, -1, 0, 0, 0] += 1e-3
    save_file(tensors, file)
    assert main(str(recording)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"


def test_another_frame_in_a_slot_fails(recording, capsys):
    """Decisions must be equal even where the latents are close enough."""
    file = recording / "single_b3r3.trace.json"
    trace = json.loads(file.read_text())
    updates = [call["bank_update"] for call in trace["calls"] if call.get("bank_update")]
    updates[-1]["layers"][0]["slots_after"].reverse()
    for slots in updates[-1]["layers"][0]["slots_after"]:
        slots.reverse()
    file.write_text(json.dumps(trace))
    assert main(str(recording)) == 1
    assert "bank after update" in capsys.readouterr().out


def test_nan_fails(recording):
    file = recording / "single_b3r3.safetensors"
    tensors = load_file(file)
    tensors["latents"] = torch.full_like(tensors["latents"], torch.nan)
    save_file(tensors, file)
    assert main(str(recording)) == 1


def test_a_folder_without_recordings_fails(tmp_path, capsys):
    assert main(str(tmp_path)) == 1
    assert "no recordings" in capsys.readouterr().out
