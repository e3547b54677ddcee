"""Processes that unpickle a test's work find the tests of this repository."""

from __future__ import annotations

import pytest

from tests.paths import own_tests_alone


@pytest.fixture(scope="module", autouse=True)
def found():
    with own_tests_alone():
        yield
