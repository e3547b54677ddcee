"""Random stories of what people write: many returns, several characters of a kind, long walks, act after act.

Two in five are the plainer stories of `sample_story`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .characters import NAMES, TRAINED_LOOKS, of_scene
from .sampling import Outline, draw_segments, sample_story
from .story import CartoonStory
from .world import KINDS, SCENES, Identity

SAGAS = ("trio", "named", "placed", "walk", "acts", "meet")
_SHARES = (0.24, 0.14, 0.06, 0.06, 0.08, 0.16)  # of each; the rest are plainer stories
_IN_PLACE = ("stands", "waves", "jumps")
_PATROLS = ("across", "right", "left")


def sample_saga(
    seed: int | list[int] | np.random.Generator, plan: str | None = None, looks: Sequence[Identity] = TRAINED_LOOKS
) -> CartoonStory:
    """Draw a random story for training.

    plan  one of SAGAS, or None for any and for plainer stories:
          trio    three characters, each of which returns twice or more, often elsewhere
          named   two characters of a kind, told apart by a name in the prompt, which return
          placed  two characters of a kind, told apart by the scene, which return
          walk    somebody walks for ten chunks and more, and comes back later
          acts    somebody does one thing after another in one place, and comes back later
          meet    two or three characters, each shown alone; then two of them meet, again and again
    looks  that characters may have.

    Raises ValueError for another plan.
    """
    rng = np.random.default_rng(seed)
    if plan is None:
        number = int(np.searchsorted(np.cumsum(_SHARES), rng.random(), side="right"))
        if number == len(SAGAS):
            return sample_story(rng, looks=looks)
        plan = SAGAS[number]
    if plan not in _DRAWN:
        raise ValueError(f"the story plan is {plan!r}, but must be one of {', '.join(SAGAS)}.")
    scenes = [SCENES[i] for i in rng.permutation(len(SCENES))]
    kinds = [KINDS[i] for i in rng.permutation(len(KINDS))]
    outline, lengths = _DRAWN[plan](rng, scenes, kinds)
    cast = dict.fromkeys(character for _, shown, _ in outline for character in shown)
    drawn = [looks[i] for i in rng.choice(len(looks), len(cast), replace=False)]
    return CartoonStory(draw_segments(rng, outline, lengths), dict(zip(cast, drawn, strict=True)))


def _trio(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> tuple[Outline, list[int]]:
    cast, homes = kinds[:3], scenes[:3]
    outline: Outline = [(homes[i], (cast[i],), None) for i in range(3)]
    for _ in range(rng.integers(2, 4)):
        for i in rng.permutation(3):
            scene = homes[i] if rng.random() < 0.6 else scenes[rng.integers(len(scenes))]
            other = cast[(i + 1) % 3]
            outline.append((scene, (cast[i], other) if rng.random() < 0.12 else (cast[i],), None))
    _add_empty(rng, outline, scenes, 2)
    return outline, _lengths(rng, outline, 3, 5)


def _named(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> tuple[Outline, list[int]]:
    one, other = (f"{NAMES[i]} {kinds[0]}" for i in rng.permutation(len(NAMES))[:2])
    outline: Outline = [(scenes[0], (one,), None), (scenes[rng.integers(2)], (other,), None)]
    outline.insert(int(rng.integers(0, 3)), (scenes[2], (kinds[1],) if rng.random() < 0.5 else (), None))
    for _ in range(rng.integers(3, 6)):
        cast = [(one,), (other,), (kinds[1],), (one, other)][rng.choice(4, p=(0.35, 0.35, 0.2, 0.1))]
        outline.append((scenes[rng.integers(len(scenes))], cast, None))
    _add_empty(rng, outline, scenes, 1)
    return outline, _lengths(rng, outline, 3, 6)


def _placed(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> tuple[Outline, list[int]]:
    places = scenes[: 3 if rng.random() < 0.3 else 2]
    outline: Outline = [(scene, (of_scene(kinds[0], scene),), None) for scene in places]
    for _ in range(rng.integers(3, 6)):
        if rng.random() < 0.3:
            outline.append((scenes[3], (kinds[1],), None))
        scene = places[rng.integers(len(places))]
        outline.append((scene, (of_scene(kinds[0], scene),), None))
    _add_empty(rng, outline, scenes, 2)
    return outline, _lengths(rng, outline, 3, 6)


def _walk(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> tuple[Outline, list[int]]:
    patrol = _PATROLS[rng.integers(len(_PATROLS))]
    outline: Outline = [(scenes[0], (kinds[0],), patrol), (scenes[1], (kinds[1],), None), (scenes[2], (), None)]
    back = scenes[rng.integers(len(scenes))]
    outline.append((back, (kinds[0],), _PATROLS[rng.integers(len(_PATROLS))]))
    lengths = _lengths(rng, outline, 3, 6)
    lengths[0], lengths[-1] = int(rng.integers(10, 16)), int(rng.integers(6, 14))
    return outline, lengths


def _acts(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> tuple[Outline, list[int]]:
    outline: Outline = []
    for scene, kind in ((scenes[0], kinds[0]), (scenes[1], kinds[1]), (scenes[0], kinds[0])):
        for number in rng.permutation(3)[: rng.integers(2, 4)]:
            outline.append((scene, (kind,), _IN_PLACE[number]))
    return outline, _lengths(rng, outline, 3, 5)


def _meet(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> tuple[Outline, list[int]]:
    count = int(rng.integers(2, 4))
    outline: Outline = [(scenes[i], (kinds[i],), None) for i in range(count)]
    for _ in range(rng.integers(2, 4)):
        one, other = rng.permutation(count)[:2]
        outline.append((scenes[rng.integers(len(scenes))], (kinds[one], kinds[other]), None))
        if rng.random() < 0.5:
            outline.append((scenes[rng.integers(len(scenes))], (kinds[one],), None))
    _add_empty(rng, outline, scenes, 1)
    return outline, _lengths(rng, outline, 3, 5)


_DRAWN = {"trio": _trio, "named": _named, "placed": _placed, "walk": _walk, "acts": _acts, "meet": _meet}


def _add_empty(rng: np.random.Generator, outline: Outline, scenes: list[str], most: int) -> None:
    for _ in range(rng.integers(0, most + 1)):
        outline.insert(int(rng.integers(0, len(outline))), (scenes[rng.integers(len(scenes))], (), None))


def _lengths(rng: np.random.Generator, outline: Outline, shortest: int, longest: int) -> list[int]:
    return [int(length) for length in rng.integers(shortest, longest + 1, len(outline))]
