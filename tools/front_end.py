"""Open ComfyUI's front end in a headless Chromium, by playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import browser
from .comfy_server import Server, ServerError

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
# ready is later than visible: until then the front end still loads a graph of its own over any other
READY = """() => {
    const manager = window.app?.extensionManager;
    return Boolean(manager?.workflow?.activeWorkflow?.isLoaded && !manager.spinner);
}"""


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
        )
        yield context
        context.close()


def open_page(context: Any, server: Server) -> Any:
    """Open the front end in a new tab and wait until it is ready: a playwright Page with the app at `window.app`."""
    tab = context.new_page()
    tab.goto(server.url, wait_until="domcontentloaded")
    tab.wait_for_function(READY, timeout=120_000)
    return tab
