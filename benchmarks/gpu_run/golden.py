"""Do recordings of the published program come out on this device? In float32, decisions equal, latents within 1e-4."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .bench import Bench
from .record import MissError

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT / "tests" / "golden"
WHOLE_RUNS = ("inter_b3r3_gs", "inter_b3r3_gs_sma", "inter_b3r3_nogs", "single_b3r3_sma", "inter_b1r1_gs")
PASSES = ("unit_block5_step0_roll", "unitsma_block8_step1")
OF_TINY = ("inter_b1r1_gs", "unit_block5_step0_roll")


def replay_recordings(bench: Bench) -> dict[str, Any]:
    """Replay recordings. Raises MissError where one is not met, or is not there."""
    replays = _replays()
    wanted = OF_TINY if bench.tiny else (*WHOLE_RUNS, *PASSES)
    cases = {case.path.stem: case for case in replays.find_cases(RECORDINGS, device=bench.device)}
    found: dict[str, Any] = {}
    for name in wanted:
        if name not in cases:
            raise MissError(f"the recording {name} is not in tests/golden.", found)
        check = replays.run_case(cases[name])
        _, error, tolerance = check.worst
        found[name] = {"error": error, "tolerance": tolerance, "passed": check.passed}
        if not check.passed:
            raise MissError(f"{name} is not met: {check.worst} {check.wrong[:1]}", found)
    return found


def _replays() -> ModuleType:
    with _no_other_tests():
        return importlib.import_module("tests.parity")


@contextmanager
def _no_other_tests() -> Iterator[None]:
    """Import these `tests`: a package of that name elsewhere on the path would go before a plain folder."""
    before = list(sys.path)
    sys.path[:] = [str(ROOT), *(place for place in before if not Path(place, "tests", "__init__.py").is_file())]
    try:
        yield
    finally:
        sys.path[:] = before
