"""Stories with a right answer: somebody is shown, is long away while others are shown, and comes back.

All stories of one plan are cut alike, so that one stream makes many of them side by side. Stories 2n and 2n + 1 are
told of the same kind of hero with nothing in its identity shared: each can be the other's donor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.cartoons.story import CartoonStory, Segment, prompts
from training.cartoons.world import IDENTITIES, KINDS, SCENES, Identity

CHUNK = 3  # latent frames
RETURN_CHUNKS = 3
_ACTIONS = ("across", "right", "left", "enters", "jumps", "waves", "stands")
# (scene, role, chunks); the last segment is the return, after 11 chunks without the hero
_PLANS = {
    "late": ((0, None, 5), (0, "hero", 5), (2, None, 5), (1, "other", 6), (0, "hero", RETURN_CHUNKS)),
    "opening": ((0, "hero", 5), (2, None, 5), (1, "other", 6), (0, "hero", RETURN_CHUNKS)),
}
PLANS = tuple(_PLANS)


@dataclass(frozen=True)
class Case:
    """A story, and who in it is away and comes back."""

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
        return self.story.segments[-1]

    def shows_hero(self, latent_frame: int) -> bool:
        return any(
            self.hero in segment.cast and segment.start_chunk <= latent_frame // CHUNK < segment.end_chunk
            for segment in self.story.segments
        )


def cases(stories: int, seed: int, plan: str) -> list[Case]:
    """An even number of stories; the same seed gives the same ones, and the first n are the same for every number."""
    return [case for pair in range((stories + 1) // 2) for case in _pair(seed, pair, plan)]


def _pair(seed: int, pair: int, plan: str) -> list[Case]:
    rng = np.random.default_rng([seed, pair, PLANS.index(plan)])
    hero, other = rng.choice(KINDS, 2, replace=False)
    one = IDENTITIES[rng.integers(len(IDENTITIES))]
    strangers = [who for who in IDENTITIES if not set(zip(range(3), one, strict=True)) & set(enumerate(who))]
    donor = strangers[rng.integers(len(strangers))]
    return [_case(rng, plan, str(hero), str(other), identity) for identity in (one, donor)]


def _case(rng: np.random.Generator, plan: str, hero: str, other: str, identity: Identity) -> Case:
    scenes, cast_of = rng.permutation(SCENES), {"hero": (hero,), "other": (other,), None: ()}
    segments: list[Segment] = []
    for number, (scene, role, chunks) in enumerate(_PLANS[plan]):
        back = number == len(_PLANS[plan]) - 1
        seen = (hero,) if back else ()
        actions = (*_ACTIONS, "returns") if back else _ACTIONS
        action = actions[rng.integers(len(actions))] if role else "empty"
        said = prompts(str(scenes[scene]), cast_of[role], action, seen)
        start = segments[-1].end_chunk if segments else 0
        prompt = said[rng.integers(len(said))]
        segments.append(Segment(prompt, str(scenes[scene]), cast_of[role], action, start, start + chunks))
    identities = {kind: IDENTITIES[rng.integers(len(IDENTITIES))] for kind in KINDS} | {hero: identity}
    return Case(CartoonStory(tuple(segments), identities), hero)


def long_story(seed: int, chunks: int) -> CartoonStory:
    """One segment after another, each at random, for as long as wanted; for drift."""
    rng = np.random.default_rng([seed, chunks])
    segments: list[Segment] = []
    seen: tuple[str, ...] = ()
    while not segments or segments[-1].end_chunk < chunks:
        scene, kind = SCENES[rng.integers(len(SCENES))], KINDS[rng.integers(len(KINDS))]
        action = _ACTIONS[rng.integers(len(_ACTIONS))]
        said = prompts(scene, (kind,), action, seen)
        start = segments[-1].end_chunk if segments else 0
        prompt, end = said[rng.integers(len(said))], min(chunks, start + 5)
        segments.append(Segment(prompt, scene, (kind,), action, start, end))
        seen += (kind,) if kind not in seen else ()
    return CartoonStory(tuple(segments), {kind: IDENTITIES[rng.integers(len(IDENTITIES))] for kind in KINDS})
