"""Find a Chromium for the front-end tests, or provide one.

    .venv/bin/python -m tools.browser

In this order: the program that CHROMIUM names, an installed one, the distribution's package (where apt-get
may be used), and playwright's own, which goes into .host/browsers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .comfy_host import ROOT, Layout
from .command_line import no_arguments

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DOWNLOADS = Layout(ROOT).host / "browsers"
MISSING = "no Chromium was found: install chromium or google-chrome, or name one with CHROMIUM=/path/to/it."


def find() -> Path | None:
    """A Chromium that starts, or None."""
    installed = [os.environ.get("CHROMIUM"), *(shutil.which(name) for name in NAMES)]
    downloaded = sorted(DOWNLOADS.glob("chromium-*/chrome-*/chrome"))
    candidates = [Path(c) for c in (*installed, *downloaded) if c]
    return next((c for c in candidates if starts(c)), None)


def starts(program: Path) -> bool:
    # Ubuntu's chromium-browser may be a stub that only tells of its snap
    return shutil.which(program) is not None and _succeeds([str(program), "--version"])


def provide() -> Path | None:
    """`find`, and if there is none: install one, then look again."""
    return find() or (_from_distribution() and find()) or (_from_playwright() and find()) or None


def _from_distribution() -> bool:
    if not shutil.which("apt-get"):
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not (shutil.which("sudo") and _succeeds(["sudo", "-n", "true"])):
        return False
    print("installing the distribution's chromium", flush=True)
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    _succeeds([*apt, "update"])
    return _succeeds([*apt, "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"])


def _from_playwright() -> bool:
    print(f"downloading playwright's chromium into {DOWNLOADS}", flush=True)
    env = {**os.environ, "PLAYWRIGHT_BROWSERS_PATH": str(DOWNLOADS)}
    return _succeeds([sys.executable, "-m", "playwright", "install", "chromium"], env)


def _succeeds(command: list[str], env: dict[str, str] | None = None) -> bool:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, env=env, check=False, **quiet).returncode == 0


def main() -> None:
    no_arguments(__doc__)
    program = provide()
    if not program:
        sys.exit(MISSING)
    print(f"browser {program}")


if __name__ == "__main__":
    main()
