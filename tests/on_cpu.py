"""Run a test on the CPU, also where there is a GPU: for numbers that were kept on a CPU."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable

import torch

from tools.comfy_host import ROOT

ASKED = "MEMFLOW_TESTS_ON_CPU"


def asked_for() -> bool:
    """Whether this process was started to leave a GPU alone."""
    return ASKED in os.environ


def on_cpu(test: Callable[..., None]) -> Callable[..., None]:
    """Where there is a GPU, run the test in another process that leaves it alone: ComfyUI decides at its import."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        if asked_for() or not torch.accelerator.is_available():
            test(*args, **kwargs)
            return
        name = os.environ["PYTEST_CURRENT_TEST"].rpartition(" (")[0]
        command = [sys.executable, "-m", "pytest", "-q", f"tests/{name.removeprefix('tests/')}"]
        environment = {**os.environ, ASKED: "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr

    return run
