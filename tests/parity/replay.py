"""Find recordings and replay them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from .calls import UnitCall
from .case import CPU, DEVICE_TOLERANCE, WAYS, Case, Check
from .files import compare_checkpoints, compare_scheduler
from .pipelines import replay

SHARED = ("weights", "inputs")  # files that cases read, described in the same way
KINDS: dict[str, Callable[[Case, Check], None]] = {
    "pipeline_single": replay,
    "pipeline_interactive": replay,
    "unit_forward": lambda case, check: UnitCall(case).run(check),
    "scheduler": compare_scheduler,
    "checkpoint_formats": compare_checkpoints,
}


def find_cases(folder: Path, way: str = "plain", device: torch.device = CPU) -> list[Case]:
    """Return every recording in a folder; shared weights and inputs are no cases of their own."""
    files = [path for path in sorted(folder.glob("*.json")) if not path.name.endswith(".trace.json")]
    described = [Case(path, WAYS[way], device) for path in files]
    return [case for case in described if case.info.get("case", SHARED[0]) not in SHARED]


@torch.inference_mode()
def run_case(case: Case) -> Check:
    check = Check(least_tolerance=0.0 if case.device.type == "cpu" else DEVICE_TOLERANCE)
    KINDS[case.info["case"]](case, check)
    return check


def main(folder: str, way: str = "plain", device: str = "cpu") -> int:
    cases, failed = find_cases(Path(folder), way, torch.device(device)), 0
    if not cases:
        print(f"there are no recordings in {folder}.")
    for case in cases:
        try:
            check = run_case(case)
            name, error, tolerance = check.worst
            passed, result = check.passed, f"largest error {error:.2e} ({name}), tolerance {tolerance:.0e}"
            result += "".join(f"; {wrong[:300]}" for wrong in check.wrong[:2])
        except Exception as error:  # one broken recording must not hide the others
            passed, result = False, f"{type(error).__name__}: {error}"
        failed += not passed
        print(f"{'ok  ' if passed else 'MISS'} {case.path.stem}: {result}", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0
