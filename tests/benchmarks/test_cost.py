"""`python -m benchmarks.recall.cost` compares what differs by archive and reading alone, and by nothing else."""

from __future__ import annotations

import pytest

from benchmarks.recall import Models, cost_of_recall
from memflow_core.weights import ASSETS

pytestmark = pytest.mark.slow


def test_only_moments_are_read_beside_what_a_story_takes_anyway():
    found = cost_of_recall(Models.read(ASSETS), seconds=9, every=3, pairs=1)
    with_archive, without = (dict(found["passes"][name]) for name in ("with", "without"))
    assert found["chunks"] == 12 and with_archive.pop("moment") > 0
    assert with_archive == without and without["context"] == 12 and without["recache"] >= 2
    assert len(found["ratios"]) == 1 and found["ratios"][0] > 0
