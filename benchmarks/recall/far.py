"""Stories of one character that is away for long, past several others, and scores of its returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.cartoons import (
    CHUNK_LATENTS,
    FIRST_ACTIONS,
    IDENTITIES,
    KINDS,
    SCENES,
    CartoonStory,
    Segment,
    Shot,
    of_scene,
)

from .plot import Curve
from .stories import add_shot
from .stream import Models, policies
from .tales import BACK_CHUNKS, BATCH, MEET_CHUNKS, Return, Tale, measure_returns, summary_of_returns

AWAY, OTHERS, BETWEEN = (11, 30, 60, 150, 320), (1, 2, 3, 4, 5, 6), 11
SHOT = 5  # chunks of a shot of another, about


def distant(away: int, others: int, turns: int, stories: int, seed: int) -> list[Tale]:
    """Draw stories whose hero is away for some chunks, all cut alike; the first n are the same whatever the number.

    others  characters that are seen meanwhile, from 1 to 6, each at least once. The first of them opens the story, so
            that the sink does not show the hero.
    turns   how often the hero comes back.

    Raises ValueError where there is no room for that many.
    """
    if not 1 <= others <= OTHERS[-1] or away < others:
        raise ValueError(f"{others} others within {away} chunks: give from 1 to {OTHERS[-1]}, and a chunk for each.")
    return [
        _tale(np.random.default_rng([seed, number, away, others]), away, others, turns) for number in range(stories)
    ]


def _tale(rng: np.random.Generator, away: int, others: int, turns: int) -> Tale:
    hero, *kinds = (str(kind) for kind in rng.permutation(KINDS))
    scenes = [str(scene) for scene in rng.permutation(SCENES)]
    # one of each kind, then a second of each, in another scene
    cast = [(scene, of_scene(kind, scene)) for scene in scenes for kind in kinds][:others]
    segments: list[Segment] = []
    # the sink is to show somebody else
    _leave(rng, segments, cast[:1], SHOT)
    _add(rng, segments, scenes[-1], hero, MEET_CHUNKS)
    returns = []
    for turn in range(turns):
        _leave(rng, segments, cast, away if turn == 0 else BETWEEN)
        home = rng.random() < 0.5
        _add(rng, segments, scenes[-1] if home else scenes[rng.integers(3)], hero, BACK_CHUNKS)
        returns.append(Return(len(segments) - 1, hero, turn + 1, not home))
    looks = [IDENTITIES[i] for i in rng.choice(len(IDENTITIES), 1 + len(cast), replace=False)]
    characters = [hero, *(character for _, character in cast)]
    return Tale(CartoonStory(tuple(segments), dict(zip(characters, looks, strict=True))), tuple(returns))


def _leave(rng: np.random.Generator, segments: list[Segment], cast: Sequence[tuple[str, str]], chunks: int) -> None:
    """Show the others in turn, in shots of about one length."""
    shots = max(min(len(cast), chunks), round(chunks / SHOT))
    ends = [round(chunks * (number + 1) / shots) for number in range(shots)]
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        scene, character = cast[number % len(cast)]
        _add(rng, segments, scene, character, end - start)


def _add(rng: np.random.Generator, segments: list[Segment], scene: str, character: str, chunks: int) -> None:
    add_shot(rng, segments, Shot(scene, (character,), FIRST_ACTIONS[rng.integers(len(FIRST_ACTIONS))]), chunks)


def measured(models: Models, name: str, drawn: Sequence[Tale], seed: int) -> dict[str, Any]:
    """Scores of stories under a policy, with binomial errors of what is whole, and how positions were counted."""
    policy, records = policies(CHUNK_LATENTS * drawn[0].story.chunks)[name], []
    for first in range(0, len(drawn), BATCH):
        records += measure_returns(models, policy, drawn[first : first + BATCH], seed + first)
    found = summary_of_returns(records)
    # "away" is the distance here
    found["elsewhere"] = found.pop("away")
    positions = policy.memory.resolve_positions(CHUNK_LATENTS * drawn[0].story.chunks)
    return {"policy": name, "positions": positions, **found}


def curves(rows: Sequence[dict[str, Any]], along: str) -> list[Curve]:
    """One curve for each policy, and for each value of what else was varied: whole looks along distance or others."""
    fixed = "others" if along == "away" else "away"
    found = []
    for name in dict.fromkeys(row["policy"] for row in rows):
        for value in dict.fromkeys(row[fixed] for row in rows):
            of_one = [row for row in rows if row["policy"] == name and row[fixed] == value]
            points = [(row[along], row["whole"], row["whole_error"]) for row in sorted(of_one, key=lambda r: r[along])]
            found.append(Curve(f"{name}, {value} {'others' if fixed == 'others' else 'chunks'}", tuple(points)))
    return found
