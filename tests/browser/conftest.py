"""The timeline's own reader of schedule text, in node or else in the page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.browser.timeline_text import READ, Node, reads_modules


@pytest.fixture(scope="module")
def timeline(request):
    """Call it with (text, operation, values, length in video frames): what the timeline makes of a text."""
    program = shutil.which("node")
    if program and reads_modules(program):
        node = Node(program)
        yield lambda text, operation=None, values=(), frames=None: node(text, operation, values, frames)
        node.close()
        return
    comfy, tab = request.getfixturevalue("comfy"), request.getfixturevalue("chromium").new_page()
    tab.goto(f"{comfy.url}/extensions", wait_until="domcontentloaded")
    folder = f"{comfy.url}/extensions/{Path(comfy.base, 'custom_nodes').iterdir().__next__().name}/js/"
    ask = f"values => ({READ})(...values)"
    yield lambda text, operation=None, values=(), frames=None: tab.evaluate(
        ask, [folder, text, operation, list(values), frames]
    )
    tab.close()
