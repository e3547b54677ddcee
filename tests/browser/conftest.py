"""Every test of the page runs on two front ends: the one that ComfyUI brings, and the newest, in either renderer."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import pytest

from tests.browser.timeline_text import READ, Node, reads_modules
from tools import front_end
from tools.comfy_host import SetupError

BUNDLED = "bundled"
RENDERERS = ("LiteGraph", "Vue nodes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --one-renderer, leave each test one renderer on a front end, and the other one on the other.

    So the two runs of a test see both of either. Which go together is by the test's name: about as many tests see a
    front end with one renderer as with the other.
    """
    if config.getoption("--one-renderer"):
        left_out = {item for item in items if _is_other_pair(item)}
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def _is_other_pair(item: pytest.Item) -> bool:
    # of all tests, some of which have values that no text can be made of
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    values = [value for value in given if isinstance(value, str)]
    renderer, front = (
        next((value for value in values if value in kind), None) for kind in (RENDERERS, (BUNDLED, front_end.NEWEST))
    )
    if not (renderer and front):
        return False
    name = item.name.replace(renderer, "").replace(front, "")
    return (renderer == RENDERERS[0]) ^ (front == BUNDLED) ^ (zlib.crc32(name.encode()) % 2 == 1)


@pytest.fixture(scope="session", params=[BUNDLED, front_end.NEWEST])
def comfy(request, bundled, start_comfy):
    """A running ComfyUI with one of the front ends. For the session, so that each is started once."""
    if request.param == BUNDLED:
        yield bundled
        return
    try:
        static = front_end.provide(request.param)
    except SetupError as error:
        pytest.fail(str(error), pytrace=False)
    server = start_comfy(*front_end.served_from(static))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def timeline(request, tmp_path_factory):
    """Call it with (text, operation, values, length in video frames): what the timeline makes of a text.

    Its own reader of schedule text, in node or else in the page.
    """
    program = shutil.which("node")
    if program and reads_modules(program):
        node = Node(program)
        yield lambda text, operation=None, values=(), frames=None: node(text, operation, values, frames)
        node.close()
        return
    server = request.getfixturevalue("bundled")
    with front_end.chromium(server, tmp_path_factory.mktemp("reader")) as context:
        tab = context.new_page()
        tab.goto(f"{server.url}/extensions", wait_until="domcontentloaded")
        folder = f"{server.url}/extensions/{Path(server.base, 'custom_nodes').iterdir().__next__().name}/js/"
        ask = f"values => ({READ})(...values)"
        yield lambda text, operation=None, values=(), frames=None: tab.evaluate(
            ask, [folder, text, operation, list(values), frames]
        )
