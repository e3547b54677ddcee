"""What users try first with the tiny story model, made and scored: `walks`, `told` and `meet` of `tries`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.cartoons import (
    IDENTITIES,
    KINDS,
    SCENES,
    CartoonStory,
    Segment,
    Shot,
    identify,
    placements,
    start_frame,
)

from .evaluate import SegmentScores, evaluate_segment
from .stories import add_shot
from .stream import GeneratedStories, Models, Policy, StoryStreamer, truth_latents

ACTIONS = {"walks": (("across", 12),), "told": (("stands", 5), ("waves", 5))}
FIRST_LOOK, LAST = 2, 3  # chunk at which a look is settled, and how many chunks at the end are scored
MET, ALONE, GONE, MEETING = "meet", 5, 4, 4
TRIES = (*ACTIONS, MET)


def first_tries(what: str, stories: int, seed: int) -> list[CartoonStory]:
    """Draw stories of one kind, all cut alike; the first n are the same whatever the number."""
    draw = _meeting if what == MET else _acting
    return [draw(np.random.default_rng([seed, number]), what) for number in range(stories)]


def _acting(rng: np.random.Generator, what: str) -> CartoonStory:
    kind, scene = str(rng.choice(KINDS)), str(rng.choice(SCENES))
    shots = [(Shot(scene, (kind,), action), chunks) for action, chunks in ACTIONS[what]]
    return CartoonStory(_segments(rng, shots), {kind: IDENTITIES[rng.integers(len(IDENTITIES))]})


def _meeting(rng: np.random.Generator, what: str) -> CartoonStory:
    cast = tuple(str(kind) for kind in rng.permutation(KINDS)[:2])
    scenes = [str(scene) for scene in rng.permutation(SCENES)]
    shots = [(Shot(scene, (kind,), "waves"), ALONE) for kind, scene in zip(cast, scenes, strict=False)]
    shots += [(Shot(scenes[2], (), "empty"), GONE), (Shot(scenes[3], cast, what), MEETING)]
    looks = [IDENTITIES[number] for number in rng.choice(len(IDENTITIES), len(cast), replace=False)]
    return CartoonStory(_segments(rng, shots), dict(zip(cast, looks, strict=True)))


def _segments(rng: np.random.Generator, shots: Sequence[tuple[Shot, int]]) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for shot, chunks in shots:
        add_shot(rng, segments, shot, chunks)
    return tuple(segments)


def measure_tries(models: Models, what: str, policy: Policy, stories: Sequence[CartoonStory], seed: int) -> list[dict]:
    """Make stories of one kind under a policy. Returns what came out right in each."""
    first = stories[0].segments
    given = first[-1].start_chunk if what == MET else 0
    truth = truth_latents(models.codec, stories) if given else None
    return scored_tries(models, what, StoryStreamer(models, stories, seed, truth).generate(policy, given), stories)


def scored_tries(models: Models, what: str, made: GeneratedStories, stories: Sequence[CartoonStory]) -> list[dict]:
    """What came out right in each of some stories of one kind that were made."""
    score = {"walks": _walked, "told": _did, MET: _met}[what]
    return [score(models, made, number, story) for number, story in enumerate(stories)]


def _walked(models: Models, made: GeneratedStories, number: int, story: CartoonStory) -> dict[str, bool]:
    (segment,) = story.segments
    found = _scores(models, made, number, segment, range(FIRST_LOOK, segment.end_chunk)).identities
    # at a turn it is partly outside of the picture
    looks = [look for look in found if look is not None]
    there = len(looks) >= len(found) / 2
    return {"there": there, "right": there and looks[-1] == looks[0], "throughout": there and len({*looks}) == 1}


def _did(models: Models, made: GeneratedStories, number: int, story: CartoonStory) -> dict[str, bool]:
    before, after = story.segments
    look = _scores(models, made, number, before, range(before.end_chunk - 1, before.end_chunk)).identities[-1]
    scores = _scores(models, made, number, after, range(after.end_chunk - LAST, after.end_chunk))
    same = look is not None and scores.identities[-1] == look
    waves = scores.right["action"] == 1
    return {"there": scores.identities[-1] is not None, "right": waves and same, "waves": waves, "same look": same}


def _met(models: Models, made: GeneratedStories, number: int, story: CartoonStory) -> dict[str, float | bool]:
    segment = story.segments[-1]
    chunks = range(segment.end_chunk - 1, segment.end_chunk)
    frame = start_frame(chunks.stop) - 1
    picture = made.pictures(models.codec, number, chunks)[-1]
    places = placements(segment, frame)
    found = [identify(picture, segment.scene, kind, at, 1) for kind, at in zip(segment.cast, places, strict=True)]
    looks = [match.identity if match.is_present() else None for match in found]
    right = [look == story.identities[kind] for look, kind in zip(looks, segment.cast, strict=True)]
    return {"there": None not in looks, "right": all(right), "one of them": float(np.mean(right))}


def _scores(models: Models, made: GeneratedStories, number: int, segment: Segment, chunks: range) -> SegmentScores:
    return evaluate_segment(made.pictures(models.codec, number, chunks), segment, chunks, segment.cast[0])
