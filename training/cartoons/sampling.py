"""Random cartoon stories: the same seed gives the same story."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .prompts import FIRST_ACTIONS, REPEATABLE_ACTIONS, Shot, prompt_variants
from .story import CartoonStory, Segment
from .world import IDENTITIES, KINDS, SCENES, Identity

SHORTEST, LONGEST, VERY_LONG = 4, 7, 12  # chunks of a segment, and of one in eight
LONG_ABSENCE = 11  # chunks
PLANS = ("late", "opening", "elsewhere", "pair", "long", "wander")

Outline = list[tuple[str, tuple[str, ...], str | None]]  # scene, cast, and the action if it is settled


def sample_story(
    seed: int | list[int] | np.random.Generator, plan: str | None = None, looks: Sequence[Identity] = IDENTITIES
) -> CartoonStory:
    """Draw a random story.

    seed  as `np.random.default_rng` takes it.
    plan  one of PLANS, or None for any:
          late       an empty scene, then the hero; at least LONG_ABSENCE chunks of other shots, then the hero again
          opening    the same with the hero in chunk 0
          elsewhere  the hero comes back in another scene
          pair       two characters, one after the other; later they meet
          long       seven segments with three characters
          wander     three to eight segments, each at random
    looks  that characters may have.

    Raises ValueError for another plan.
    """
    rng = np.random.default_rng(seed)
    plan = PLANS[rng.integers(len(PLANS))] if plan is None else plan
    if plan not in PLANS:
        raise ValueError(f"the story plan is {plan!r}, but must be one of {', '.join(PLANS)}.")
    scenes = [SCENES[i] for i in rng.permutation(len(SCENES))]
    kinds = [KINDS[i] for i in rng.permutation(len(KINDS))]
    outline = _wandering_outline(rng, scenes, kinds) if plan == "wander" else _outline(plan, scenes, kinds)
    if plan != "wander" and rng.random() < 0.6:
        _add_second_segment(rng, outline)
    lengths = [_sample_length(rng) for _ in outline]
    if plan != "wander":
        _lengthen_absences(outline, lengths)
    identities = {kind: looks[rng.integers(len(looks))] for kind in KINDS}
    return CartoonStory(draw_segments(rng, outline, lengths), identities)


def _outline(plan: str, scenes: list[str], kinds: list[str]) -> Outline:
    a, b, c = scenes[:3]
    hero, other, third = kinds[:3]
    shots = {
        "late": ((a,), (a, hero), (c,), (b, other), (a, hero)),
        "opening": ((a, hero), (c,), (b, other), (a, hero)),
        "elsewhere": ((b, other), (a, hero), (c,), (b, other), (c, hero)),
        "pair": ((b,), (a, hero), (b, other), (c,), (b, third), (a, hero, other)),
        "long": ((c,), (a, hero), (c,), (b, other), (c, third), (b, other), (a, hero)),
    }
    return [(scene, tuple(cast), None) for scene, *cast in shots[plan]]


def _wandering_outline(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> Outline:
    casts = [(), (kinds[0],), (kinds[0],), (kinds[1],), (kinds[1],), (kinds[2],), (kinds[0], kinds[1])]
    outline: Outline = []
    for _ in range(rng.integers(3, 9)):
        scene = scenes[rng.integers(3)]
        cast = casts[rng.integers(len(casts))]
        stays = bool(outline) and outline[-1] == (scene, cast, None) and len(cast) == 1
        outline.append((scene, cast, "leaves" if stays and rng.random() < 0.5 else None))
    return outline


def _add_second_segment(rng: np.random.Generator, outline: Outline) -> None:
    """Give one character a second segment in the same scene: it leaves, or does something else there."""
    alone = [i for i, (_, cast, _) in enumerate(outline[:-1]) if len(cast) == 1]
    index = alone[rng.integers(len(alone))]
    scene, cast, _ = outline[index]
    outline.insert(index + 1, (scene, cast, "leaves" if rng.random() < 0.5 else None))


def _sample_length(rng: np.random.Generator) -> int:
    return int(rng.integers(SHORTEST, (VERY_LONG if rng.random() < 0.125 else LONGEST) + 1))


def _lengthen_absences(outline: Outline, lengths: list[int]) -> None:
    """Make the last segment's characters stay away at least LONG_ABSENCE chunks before it."""
    for kind in outline[-1][1]:
        last = max(i for i, (_, cast, _) in enumerate(outline[:-1]) if kind in cast)
        between = range(last + 1, len(outline) - 1)
        while sum(lengths[i] for i in between) < LONG_ABSENCE:
            lengths[min(between, key=lengths.__getitem__)] += 1


def draw_segments(rng: np.random.Generator, outline: Outline, lengths: list[int]) -> tuple[Segment, ...]:
    """Draw what is open in an outline: actions, where they are not settled, and wordings."""
    segments: list[Segment] = []
    seen: tuple[str, ...] = ()
    for (scene, cast, settled), length in zip(outline, lengths, strict=True):
        previous = segments[-1] if segments else None
        action = settled or _sample_action(rng, scene, cast, seen=seen, previous=previous)
        shot = Shot(scene, cast, action)
        variants = prompt_variants(shot, seen)
        start = previous.end_chunk if previous else 0
        segments.append(Segment(variants[rng.integers(len(variants))], shot, start, start + length))
        seen += tuple(kind for kind in cast if kind not in seen)
    return tuple(segments)


def _sample_action(
    rng: np.random.Generator, scene: str, cast: tuple[str, ...], *, seen: tuple[str, ...], previous: Segment | None
) -> str:
    if len(cast) != 1:
        return "meet" if cast else "empty"
    stays = previous is not None and previous.scene == scene and cast[0] in previous.cast
    if stays and previous.action != "leaves":
        actions = tuple(action for action in REPEATABLE_ACTIONS if action != previous.action)
    else:
        actions = (*FIRST_ACTIONS, "returns", "returns") if cast[0] in seen else FIRST_ACTIONS
    return actions[rng.integers(len(actions))]
