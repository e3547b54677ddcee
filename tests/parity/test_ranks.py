"""Every recording is reproduced by processes that share each pass, with the same decisions in all of them."""

import pytest

from memflow_core.parallel import run
from tests.parity.ranks import Replays
from tests.parity.replay import find_cases
from tests.parity.test_parity import GOLDEN
from tests.paths import own_tests_alone


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_recordings_on_several_processes(processes):
    """Of models with 2 and 4 heads: on 3 processes shared unevenly, one of them without a head of the smaller model."""
    with own_tests_alone():
        replayed = {name: found for name, *found in run(Replays(GOLDEN), processes=processes)}
    assert list(replayed) == [case.path.stem for case in find_cases(GOLDEN)]
    assert {name: found for name, found in replayed.items() if not found[0]} == {}
