"""`python -m benchmarks.recall.tries` sees what is right and what is not, on drawn stories and such of others."""

from __future__ import annotations

import pytest

from benchmarks.recall import GeneratedStories, Models, first_tries, scored_tries, truth_latents
from memflow_core.weights import ASSETS

KINDS, STORIES = ("walks", "told", "meet"), 4


@pytest.fixture(scope="module")
def models() -> Models:
    return Models.read(ASSETS)


@pytest.mark.parametrize("what", KINDS)
def test_drawn_stories_are_right(models, what):
    stories = first_tries(what, STORIES, seed=5)
    found = scored_tries(models, what, GeneratedStories(truth_latents(models.codec, stories)), stories)
    assert [one["right"] for one in found] == [True] * STORIES


def test_a_character_that_stands_on_is_not_taken_for_one_that_waves(models):
    stories = first_tries("told", STORIES, seed=5)
    latents = truth_latents(models.codec, stories)
    before = stories[0].segments[0].end_chunk * 3
    latents[:, before:] = latents[:, before - 1 : before]
    found = scored_tries(models, "told", GeneratedStories(latents), stories)
    assert [(one["waves"], one["right"]) for one in found] == [(False, False)] * STORIES


def test_other_looks_at_the_meeting_are_not_right(models):
    stories = first_tries("meet", STORIES, seed=5)
    latents = truth_latents(models.codec, stories)
    # the same shot for all would be another seed's: here each story has the last one's meeting
    found = scored_tries(models, "meet", GeneratedStories(latents.roll(1, dims=0)), stories)
    assert not any(one["right"] for one in found)
