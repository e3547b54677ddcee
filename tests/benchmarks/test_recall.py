"""Memory brings a character back as itself in the bundled model, by a small run of `python -m benchmarks.recall`.

The same run measures memories that are broken on purpose. It has to notice a bank that stays empty, one that attention
does not read, and one that keeps the wrong frames.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.recall import Models, PrefilledReturns, cases, summary
from memflow_core.attention import AttentionPass
from memflow_core.memory import NarrativeMemory, nam_scores
from memflow_core.weights import ASSETS

pytestmark = pytest.mark.slow
STORIES, SEED = 20, 2024
# by chance a body is right in 1/6 of the stories, an accessory in 1/5, a pattern in 1/4
REMEMBERED, FORGOTTEN = 0.85, 0.4


@pytest.fixture(scope="module")
def measure():
    """measure(policy) -> scores of its memory on the same stories."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    returns = PrefilledReturns(Models.read(ASSETS), cases(STORIES, SEED, "late"), SEED)
    yield lambda policy: summary(returns.measure(policy))
    torch.set_num_threads(threads)


def test_a_character_comes_back_as_itself_and_does_what_the_prompt_says(measure):
    found = measure("prompt")
    assert found["recall"]["body"] >= REMEMBERED
    assert min(found["recall"]["accessory"], found["recall"]["pattern"]) >= 0.75
    assert found["retrieval"]["hit"] >= 0.85
    assert found["follow"]["scene"] >= 0.95
    assert found["follow"]["character"] >= 0.9


def test_without_memory_another_identity_comes(measure):
    found = measure("none")
    assert found["recall"]["body"] <= FORGOTTEN
    assert found["recall"]["all"] <= 0.2
    assert found["follow"]["character"] >= 0.8  # one of the right kind


def test_another_storys_memories_bring_another_storys_character(measure):
    found = measure("swapped")
    assert found["donor_recall"]["body"] >= REMEMBERED
    assert found["recall"]["body"] <= 0.1


def test_the_default_memory_brings_the_whole_look_back_and_is_its_cause(measure):
    found, swapped = measure("default"), measure("default+swapped")
    assert found["recall"]["all"] >= REMEMBERED and found["retrieval"]["hit"] >= 0.95
    assert swapped["donor_recall"]["all"] >= REMEMBERED and swapped["recall"]["body"] <= 0.1


# -- broken on purpose ------------------------------------------------------------------------------------------------


def _record_nothing(memory, chunk, start, prompt):
    pass


def _read_no_bank(attention):
    layout = attention.cache.layout
    return layout.border, layout.border + layout.sink, layout.border + layout.sink + layout.window


_relevance = nam_scores.relevance


def _irrelevance(bank, text_mean_k):
    return -_relevance(bank, text_mean_k)


@pytest.mark.parametrize(
    ("owner", "name", "fault"),
    [
        (NarrativeMemory, "after_chunk", _record_nothing),
        (AttentionPass, "_bounds", _read_no_bank),
        (nam_scores, "relevance", _irrelevance),
    ],
    ids=["empty", "ignored", "wrong frames"],
)
def test_a_broken_bank_is_noticed(measure, monkeypatch, owner, name, fault):
    monkeypatch.setattr(owner, name, fault)
    assert measure("prompt")["recall"]["body"] <= FORGOTTEN
