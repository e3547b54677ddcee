"""Open a front end of ComfyUI in a headless Chromium, by playwright, and provide the newest beside ComfyUI's own.

    .venv/bin/python -m tools.front_end

The newest one goes into .host/front_end/VERSION, by pip from the package index; one that is there stays.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import browser
from .comfy_host import ROOT, Layout, SetupError, pip
from .comfy_server import Server, ServerError
from .command_line import no_arguments

PACKAGE = "comfyui-frontend-package"
# the newest one that the tests have run on; ComfyUI brings an older one of its own
NEWEST = "1.58.1"
OTHER_FRONT_END = "--front-end-root"

OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# without them the first start covers the graph with the template browser
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Minimap.Visible": False,
}
# a click waits for frames, of which a page shows one or two a second where a run takes the processor that draws them
PATIENCE_MS = 90_000
# ready is later than visible: until then the front end still loads a graph of its own over any other
READY = """() => {
    const manager = window.app?.extensionManager;
    return Boolean(manager?.workflow?.activeWorkflow?.isLoaded && !manager.spinner);
}"""


def provide(version: str, dest: Path = ROOT) -> Path:
    """The folder that a front end is served from, installed if it is not there yet. Raises SetupError."""
    at = Layout(dest)
    folder = at.host / "front_end" / version
    static = folder / "comfyui_frontend_package" / "static"
    if not (static / "index.html").is_file():
        part = folder.with_name(f"{version}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        options = ("--no-deps", "--no-compile", "--target", part)
        pip(at, f"installing front end {version}", "install", *options, f"{PACKAGE}=={version}")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return static


def served_from(static: Path) -> tuple[str, ...]:
    """Options of ComfyUI's command line for a front end in a folder."""
    return (OTHER_FRONT_END, str(static))


@contextmanager
def chromium(server: Server, profile: Path, width: int = 1600, height: int = 900) -> Iterator[Any]:
    """Start a Chromium with an empty profile: a playwright BrowserContext. Raises ServerError if there is none."""
    from playwright.sync_api import sync_playwright

    program = browser.find()
    if program is None:
        raise ServerError(browser.MISSING)
    server.post("/settings", SETTINGS)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile / "data",
            executable_path=program,
            args=OPTIONS,
            env={**os.environ, "HOME": str(profile)},
            viewport={"width": width, "height": height},
            # with --disable-api-nodes ComfyUI forbids what its own front end does without, videos from blobs for one
            bypass_csp=OTHER_FRONT_END in server.options,
        )
        yield context
        context.close()


def open_page(context: Any, server: Server) -> Any:
    """Open the front end in a new tab and wait until it is ready: a playwright Page with the app at `window.app`."""
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE_MS)
    tab.goto(server.url, wait_until="domcontentloaded")
    tab.wait_for_function(READY, timeout=120_000)
    return tab


def main() -> None:
    no_arguments(__doc__)
    try:
        print(f"front end {NEWEST}: {provide(NEWEST)}")
    except (SetupError, OSError) as error:
        sys.exit(f"front end {NEWEST} cannot be installed: {error}")


if __name__ == "__main__":
    main()
