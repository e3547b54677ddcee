"""A page with one schedule node and its timeline, in LiteGraph and in Vue nodes."""

from __future__ import annotations

import pytest

from tests.browser.timeline_page import Timeline


@pytest.fixture(scope="module", params=["LiteGraph", "Vue nodes"])
def tab(request, new_page):
    """A page for all tests, and its complaints."""
    page, errors = new_page(), []
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.evaluate(
        "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", request.param == "Vue nodes"
    )
    yield page, request.param, errors
    page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    page.close()


@pytest.fixture
def timeline(tab):
    page, _, errors = tab
    errors.clear()
    made = Timeline(page)
    made.build()
    yield made
    assert errors == []
