"""Fixtures: the pack as ComfyUI imports it, a real ComfyUI server, and its front end in a real browser."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
# last, so that ComfyUI's nodes.py wins over our nodes/ wherever ComfyUI is on the path
sys.path.append(str(ROOT))

# ComfyUI, the browser and this process share the machine, and torch's threads wait for one another: one is faster
os.environ.setdefault("OMP_NUM_THREADS", "1")
# runs of a test stand for themselves, unless it asks for kept moments
os.environ["MEMFLOW_KEEP_GB"] = "0"
# without a GPU, kernels run in Triton's interpreter; it has to be told before it is imported
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

from hypothesis import HealthCheck  # noqa: E402
from hypothesis import settings as hypothesis_settings  # noqa: E402

from tests import on_cpu  # noqa: E402
from tools import front_end  # noqa: E402
from tools.comfy_host import SetupError  # noqa: E402
from tools.comfy_server import Server, ServerError  # noqa: E402
from tools.command_line import comfyui_folder  # noqa: E402
from tools.load_pack import load_pack, node_infos  # noqa: E402

# how long an example takes is no result: the first one in a fresh checkout builds tables of Unicode
hypothesis_settings.register_profile("hunt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# the same examples in every run: a change is not failed by a fault that was there before
hypothesis_settings.register_profile("same", hypothesis_settings.get_profile("hunt"), derandomize=True)
hypothesis_settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-renderer", action="store_true", help="tests of the page in one renderer per front end")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Where processes share the tests, print a failure at once: a run that is stopped from outside has no summary."""
    if report.failed and hasattr(report, "node"):
        print(f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext}", file=sys.__stdout__, flush=True)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Where several processes share the tests by file, let those in the browser go by their front end.

    So each of its servers is started once, and module fixtures as often as in one process.
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrFrontEnd(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            front = re.search(rf"\[(bundled|{re.escape(front_end.NEWEST)})[-\]]", nodeid)
            return front[1] if front else nodeid.partition("::")[0]

    return ByFileOrFrontEnd(config, log)


@pytest.fixture(scope="session")
def comfy_path() -> Path:
    """The ComfyUI folder: COMFYUI_PATH, else the one that `make setup` fetched."""
    try:
        return comfyui_folder()
    except SetupError as error:
        pytest.fail(f"{error} `make setup` fetches one.", pytrace=False)


@pytest.fixture(scope="session")
def pack(comfy_path, tmp_path_factory):
    """This pack's module in this process, imported by path and under the name that ComfyUI gives it."""
    return load_pack(comfy_path, tmp_path_factory.mktemp("pack"), cpu=on_cpu.asked_for())


@pytest.fixture(scope="session")
def infos(pack) -> dict[str, dict]:
    """What the front end is told of each node, by id."""
    return node_infos(pack)


@pytest.fixture(scope="session")
def start_comfy(comfy_path, tmp_path_factory):
    """Call it with command-line options for a running ComfyUI with this pack, on its own port and base directory."""
    servers = []

    def start(*options: str) -> Server:
        base = tmp_path_factory.mktemp("comfy")
        servers.append(Server(comfy_path, base, options=("--preview-method", "latent2rgb", *options)))
        try:
            servers[-1].start()
        except ServerError as error:
            pytest.fail(str(error), pytrace=False)
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def bundled(start_comfy):
    """A running ComfyUI with the front end that it brings: a tools.comfy_server.Server."""
    return start_comfy()


@pytest.fixture(scope="session")
def comfy(bundled):
    """A running ComfyUI: a tools.comfy_server.Server."""
    return bundled


# not for the session: playwright keeps an event loop running, and asyncio.run refuses to work beside one
@pytest.fixture(scope="module")
def chromium(comfy, tmp_path_factory):
    """A headless Chromium with an empty profile: a playwright BrowserContext."""
    try:
        with front_end.chromium(comfy, tmp_path_factory.mktemp("profile")) as context:
            yield context
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def new_page(chromium, comfy):
    """Call it for the ComfyUI front end in a fresh tab, ready: a playwright Page with the app at `window.app`."""
    return lambda: front_end.open_page(chromium, comfy)


@pytest.fixture
def page(new_page):
    """A tab of one test's own."""
    tab = new_page()
    yield tab
    tab.close()
