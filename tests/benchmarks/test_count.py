"""`python -m benchmarks.stream --count`: what a chunk takes by counting, of all sizes of model and under control."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memflow_core.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[2]
# billions of numbers in the model's weights
FREE = {"MemFlow": 1.4, "Causal Forcing++, frame-wise, 2 steps": 1.4, "LongLive 2": 5.0, "Krea Realtime 14B": 14.2}
STEERED = {"MemFlow": 15 / 30, "Krea Realtime 14B": 8 / 40}  # control blocks for each block


@pytest.fixture(scope="module")
def rows() -> dict[str, list[float]]:
    """Numbers of each row of the table of models, by its name: TFLOP a chunk, a second, GB moved, GB of VRAM."""
    command = [sys.executable, "-m", "benchmarks.stream", "--size", "1.3b", "--count"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    _, _, table = done.stdout.partition("| profile |")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if line]
    return {name: [float(number) for number in numbers[1:]] for name, *numbers in cells}


def test_5b_14b_and_control_have_a_row_each(rows):
    assert list(rows) == [*FREE, *(f"{name} under control" for name in STEERED)]
    for name, (flops, second, moved, vram) in rows.items():
        plain = name.removesuffix(" under control")
        profile = PROFILES[plain]
        assert second == pytest.approx(flops * profile.fps / (4 * profile.sampling.chunk_frames), rel=1e-3)
        assert moved > 0 and vram > 2 * FREE[plain] * 1e9 / 2**30


def test_a_branch_adds_less_than_its_share_of_the_blocks(rows):
    for name, share in STEERED.items():
        free, steered = rows[name][0], rows[f"{name} under control"][0]
        # its blocks see the chunk alone, and not in the context pass
        assert 1.05 < steered / free < 1 + share
