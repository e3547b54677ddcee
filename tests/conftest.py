"""Fixtures: the pack as ComfyUI imports it, a real ComfyUI server, and its front end in a real browser."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# last, so that ComfyUI's nodes.py wins over our nodes/ wherever ComfyUI is on the path
sys.path.append(str(ROOT))

# ComfyUI, the browser and this process share the machine, and torch's threads wait for one another: one is faster
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tools import browser  # noqa: E402
from tools.comfy_host import Layout, SetupError, comfyui_version  # noqa: E402
from tools.comfy_server import Server, ServerError  # noqa: E402

CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# without them the first start covers the graph with the template browser
FRONT_END_SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Minimap.Visible": False,
}
# ready is later than visible: until then the front end still loads a graph of its own over any other
FRONT_END_READY = """() => {
    const manager = window.app?.extensionManager;
    return Boolean(manager?.workflow?.activeWorkflow?.isLoaded && !manager.spinner);
}"""


@pytest.fixture(scope="session")
def comfy_path() -> Path:
    """The ComfyUI folder: COMFYUI_PATH, else the one that `make setup` fetched."""
    path = Path(os.environ.get("COMFYUI_PATH") or Layout(ROOT).comfyui).resolve()
    try:
        comfyui_version(path)
    except SetupError as error:
        pytest.fail(f"{error} `make setup` fetches one.", pytrace=False)
    return path


@pytest.fixture(scope="session")
def pack(comfy_path, tmp_path_factory):
    """This pack's module in this process, imported by path and under the name that ComfyUI gives it."""
    import torch

    # the ComfyUI folder may be a user's own: leave no bytecode in it
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(comfy_path))
    from comfy.cli_args import args

    args.cpu = not torch.accelerator.is_available()
    args.base_directory = str(tmp_path_factory.mktemp("pack"))
    name = str(ROOT).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def comfy(comfy_path, tmp_path_factory):
    """A running ComfyUI with this pack, on its own port and base directory: a tools.comfy_server.Server."""
    server = Server(comfy_path, tmp_path_factory.mktemp("comfy"), options=("--preview-method", "latent2rgb"))
    try:
        server.start()
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    yield server
    server.stop()


# not for the session: playwright keeps an event loop running, and asyncio.run refuses to work beside one
@pytest.fixture(scope="module")
def chromium(comfy, tmp_path_factory):
    """A headless Chromium with an empty profile: a playwright BrowserContext."""
    from playwright.sync_api import sync_playwright

    program = browser.find()
    if program is None:
        pytest.fail(browser.MISSING, pytrace=False)
    comfy.post("/settings", FRONT_END_SETTINGS)
    profile = tmp_path_factory.mktemp("profile")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile / "data",
            executable_path=program,
            args=CHROMIUM_OPTIONS,
            env={**os.environ, "HOME": str(profile)},
            viewport={"width": 1600, "height": 900},
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def new_page(chromium, comfy):
    """Call it for the ComfyUI front end in a fresh tab, ready: a playwright Page with the app at `window.app`."""

    def opened():
        tab = chromium.new_page()
        tab.goto(comfy.url, wait_until="domcontentloaded")
        tab.wait_for_function(FRONT_END_READY, timeout=120_000)
        return tab

    return opened


@pytest.fixture
def page(new_page):
    """A tab of one test's own."""
    tab = new_page()
    yield tab
    tab.close()
