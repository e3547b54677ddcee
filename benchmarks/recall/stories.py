"""Stories with a right answer: a character is shown, is away for long while others are shown, and comes back.

All stories of one plan are cut alike, so that one stream makes many of them side by side. Stories 2n and 2n + 1 have
the same kind of hero, with identities that differ in every part: each can be the other's donor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.cartoons import (
    CHUNK_LATENTS,
    FIRST_ACTIONS,
    IDENTITIES,
    KINDS,
    SCENES,
    CartoonStory,
    Identity,
    Segment,
    Shot,
    prompt_variants,
)

RETURN_CHUNKS = 3
# (scene, role, chunks); the last segment is the return, after 11 chunks without the hero
_PLANS = {
    "late": ((0, None, 5), (0, "hero", 5), (2, None, 5), (1, "other", 6), (0, "hero", RETURN_CHUNKS)),
    "opening": ((0, "hero", 5), (2, None, 5), (1, "other", 6), (0, "hero", RETURN_CHUNKS)),
}
PLANS = tuple(_PLANS)


@dataclass(frozen=True)
class Case:
    """A story, and the kind of its hero: the character that is away and comes back."""

    story: CartoonStory
    hero: str

    @property
    def identity(self) -> Identity:
        return self.story.identities[self.hero]

    @property
    def first(self) -> Segment:
        """The hero's first segment."""
        return next(segment for segment in self.story.segments if self.hero in segment.cast)

    @property
    def back(self) -> Segment:
        """The segment in which the hero comes back."""
        return self.story.segments[-1]

    def shows_hero(self, latent_frame: int) -> bool:
        chunk = latent_frame // CHUNK_LATENTS
        segments = self.story.segments
        return any(
            self.hero in segment.cast and segment.start_chunk <= chunk < segment.end_chunk for segment in segments
        )


def cases(stories: int, seed: int, plan: str) -> list[Case]:
    """Draw an even number of stories of a plan; the first n are the same whatever the number."""
    return [case for pair in range((stories + 1) // 2) for case in _pair(seed, pair, plan)]


def _pair(seed: int, pair: int, plan: str) -> list[Case]:
    rng = np.random.default_rng([seed, pair, PLANS.index(plan)])
    hero, other = rng.choice(KINDS, 2, replace=False)
    one = IDENTITIES[rng.integers(len(IDENTITIES))]
    unlike = [other for other in IDENTITIES if not set(enumerate(one)) & set(enumerate(other))]
    donor = unlike[rng.integers(len(unlike))]
    return [_case(rng, plan, hero=str(hero), other=str(other), identity=identity) for identity in (one, donor)]


def _case(rng: np.random.Generator, plan: str, *, hero: str, other: str, identity: Identity) -> Case:
    scenes, cast_of = rng.permutation(SCENES), {"hero": (hero,), "other": (other,), None: ()}
    segments: list[Segment] = []
    for number, (scene, role, chunks) in enumerate(_PLANS[plan]):
        back = number == len(_PLANS[plan]) - 1
        actions = (*FIRST_ACTIONS, "returns") if back else FIRST_ACTIONS
        action = actions[rng.integers(len(actions))] if role else "empty"
        add_shot(rng, segments, Shot(str(scenes[scene]), cast_of[role], action), chunks)
    identities = {kind: IDENTITIES[rng.integers(len(IDENTITIES))] for kind in KINDS} | {hero: identity}
    return Case(CartoonStory(tuple(segments), identities), hero)


def add_shot(rng: np.random.Generator, segments: list[Segment], shot: Shot, chunks: int) -> None:
    """Let a story go on with a shot, in one of the phrasings of it, which know whom the story has shown before."""
    variants = prompt_variants(shot, tuple(name for segment in segments for name in segment.cast))
    start = segments[-1].end_chunk if segments else 0
    segments.append(Segment(variants[rng.integers(len(variants))], shot, start, start + chunks))


def long_story(seed: int, chunks: int, of_shot: int = 5) -> CartoonStory:
    """Draw a story of `chunks` chunks whose segments are all random, of `of_shot` chunks but for the last."""
    rng = np.random.default_rng([seed, chunks])
    segments: list[Segment] = []
    while (start := segments[-1].end_chunk if segments else 0) < chunks:
        scene, kind = SCENES[rng.integers(len(SCENES))], KINDS[rng.integers(len(KINDS))]
        shot = Shot(scene, (kind,), FIRST_ACTIONS[rng.integers(len(FIRST_ACTIONS))])
        add_shot(rng, segments, shot, min(of_shot, chunks - start))
    return CartoonStory(tuple(segments), {kind: IDENTITIES[rng.integers(len(IDENTITIES))] for kind in KINDS})
