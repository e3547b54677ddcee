"""The page's reader beside the core's, on changed texts of the cases: it reads the same, or leaves it to the server."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow_core.schedule import ScheduleError, read_schedule
from tests.browser.timeline_text import Node, core, fuzz
from tests.cases.test_schedules import mutated
from tests.web.test_logic import NODE


@pytest.fixture(scope="module")
def page():
    node = Node(str(NODE))
    yield node
    node.close()


@fuzz
@given(st.integers(0, 2**32))
def test_the_page_reads_what_the_core_reads_or_asks(page, seed):
    text = mutated(Random(seed))
    ours = page(text)
    if ours == {"foreign": True} or "error" in ours:
        return
    theirs = core(text)
    assert {key: ours.get(key) for key in theirs} == theirs, text
    try:
        assert read_schedule(text).notes == ()
    except ScheduleError as error:
        raise AssertionError(f"{text!r} is refused: {error}") from None
