"""Lint, types and import doors, side by side: everything that needs neither ComfyUI nor a browser, within seconds.

    .venv/bin/python -m tools.check

Node 20 or newer checks the page's part; without it that part is left out, and a line says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from .comfy_host import ROOT
from .command_line import no_arguments

DOORS = (
    "tests/core/test_doors.py",
    "tests/core/test_imports.py",
    "tests/core/test_public_api.py",
    "tests/training/test_rooms.py",
)
WEB_DOORS = "tests/web/doors.test.mjs"
TSC = ROOT / "node_modules" / "typescript" / "bin" / "tsc"


def checks() -> dict[str, list[str]]:
    """Commands by name, the longest first; what is left out is printed."""
    python = [sys.executable, "-m"]
    found = {
        "types": [*python, "pyright", "--pythonpath", sys.executable],
        "doors": [*python, "pytest", "-q", *DOORS],
        "lint": [*python, "ruff", "check", "."],
        "format": [*python, "ruff", "format", "--check", "."],
    }
    node = shutil.which("node")
    if node is None:
        print("types of web, doors of web: left out, there is no node (install Node 20 or newer)")
        return found
    if (ROOT / WEB_DOORS).is_file():
        found["doors of web"] = [node, "--test", WEB_DOORS]
    if (ROOT / "tsconfig.json").is_file():
        if TSC.is_file() or install_typescript():
            found["types of web"] = [node, str(TSC), "-p", "."]
        else:
            print("types of web: left out, npm could not install typescript (see package.json)")
    return found


def install_typescript() -> bool:
    npm = shutil.which("npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    return npm is not None and subprocess.run(command, cwd=ROOT, check=False).returncode == 0 and TSC.is_file()


def run(name: str, command: list[str]) -> bool:
    """Run one check and print how it went, with its output if it failed."""
    start = time.monotonic()
    env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    passed = done.returncode == 0
    print(f"{name}: {'passed' if passed else 'FAILED'}, {time.monotonic() - start:.1f} s")
    if not passed:
        print(done.stdout.replace(f"{ROOT}{os.sep}", ""), flush=True)
    return passed


def main() -> None:
    no_arguments(__doc__)
    with ThreadPoolExecutor(max_workers=2) as pool:
        passed = list(pool.map(lambda item: run(*item), checks().items()))
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
