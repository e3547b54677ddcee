"""Stories of several characters who return again and again, and scores of their returns.

trio    three characters, each shown once and returning three times, half of the time elsewhere than where it was met.
placed  two characters of one kind, each in a scene of its own, which return there; a third one between.
named   two characters of one kind, met in one place and told apart by a word alone ("the tall robot"), which return
        there or elsewhere; a third one between.

The first shot of each character is ground truth, so that its look is known exactly; the rest is the model's own. Three
things are told apart: whether the character that the prompt asks for is there (`present`), whether its look is right
where it is (`body` ... `all`, given presence), and whether the bank shows it (`bank`). `mixed` is how often a look is
of parts of two characters of the story, `other` how often it is another character's whole look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import eq

import numpy as np

from training.cartoons import (
    CHUNK_LATENTS,
    FIRST_ACTIONS,
    HELD_OUT_LOOKS,
    IDENTITIES,
    KINDS,
    NAMES,
    SCENES,
    TRAINED_LOOKS,
    CartoonStory,
    Identity,
    Segment,
    Shot,
    kind_of,
    of_scene,
)

from .evaluate import FACTORS, evaluate_segment
from .stories import add_shot
from .stream import GeneratedStories, Models, Policy, SegmentMeter, StoryStreamer, truth_latents

PLANS = ("trio", "placed", "named")
MEET_CHUNKS, BACK_CHUNKS, ROUNDS = 5, 4, 3
LOOKS = {"all": IDENTITIES, "trained": TRAINED_LOOKS, "held-out": HELD_OUT_LOOKS}
SHOWN = (
    "default",
    "none",
    "prompt",
    "prompt+alone",
    "similarity",
    "archive+words",
    "archive+similarity",
    "archive+keys",
    "full",
)
BATCH = 20


@dataclass(frozen=True)
class Return:
    """A character that comes back: in segment `segment`, the `turn`-th time, maybe `away` from where it was met."""

    segment: int
    character: str
    turn: int
    away: bool


@dataclass(frozen=True)
class Tale:
    """A story and its returns."""

    story: CartoonStory
    returns: tuple[Return, ...]


def tales(plan: str, stories: int, seed: int, looks: Sequence[Identity] = IDENTITIES) -> list[Tale]:
    """Draw stories of a plan, all cut alike; the first n are the same whatever the number."""
    draw = {"trio": _trio, "placed": _placed, "named": _named}[plan]
    return [draw(np.random.default_rng([seed, number, PLANS.index(plan)]), looks) for number in range(stories)]


def _trio(rng: np.random.Generator, looks: Sequence[Identity]) -> Tale:
    cast = [str(kind) for kind in rng.permutation(KINDS)[:3]]
    homes = [str(scene) for scene in rng.permutation(SCENES)[:3]]
    shots = list(zip(homes, cast, strict=True))
    for _ in range(ROUNDS):
        order = rng.permutation(3)
        while cast[order[0]] == shots[-1][1]:
            order = rng.permutation(3)
        for number in order:
            away = rng.random() < 0.5
            others = [scene for scene in SCENES if scene != homes[number]]
            shots.append((others[rng.integers(3)] if away else homes[number], cast[number]))
    return _tale(rng, shots, 3, looks)


def _placed(rng: np.random.Generator, looks: Sequence[Identity]) -> Tale:
    kind, third = (str(kind) for kind in rng.permutation(KINDS)[:2])
    one, other, between = (str(scene) for scene in rng.permutation(SCENES)[:3])
    twins = [(one, of_scene(kind, one)), (other, of_scene(kind, other))]
    shots = [twins[0], twins[1], (between, third)]
    for _ in range(2):
        for number in rng.permutation(2):
            shots += [twins[number], (between, third)]
    return _tale(rng, shots, 3, looks)


def _named(rng: np.random.Generator, looks: Sequence[Identity]) -> Tale:
    kind, third = (str(kind) for kind in rng.permutation(KINDS)[:2])
    names = [f"{name} {kind}" for name in rng.permutation(NAMES)[:2]]
    home, between = (str(scene) for scene in rng.permutation(SCENES)[:2])
    shots = [(home, names[0]), (between, third), (home, names[1])]
    for _ in range(2):
        for number in rng.permutation(2):
            scene = home if rng.random() < 0.5 else str(rng.choice(SCENES))
            shots += [(between, third), (scene, names[number])]
    return _tale(rng, shots, 3, looks)


def _tale(rng: np.random.Generator, shots: Sequence[tuple[str, str]], met: int, looks: Sequence[Identity]) -> Tale:
    """Make a story of (scene, character) pairs, of which the first `met` are first appearances."""
    segments: list[Segment] = []
    returns: list[Return] = []
    homes = {character: scene for scene, character in shots[:met]}
    for number, (scene, character) in enumerate(shots):
        seen = tuple(segment.cast[0] for segment in segments)
        shot = Shot(scene, (character,), FIRST_ACTIONS[rng.integers(len(FIRST_ACTIONS))])
        add_shot(rng, segments, shot, MEET_CHUNKS if number < met else BACK_CHUNKS)
        if number >= met:
            returns.append(Return(number, character, seen.count(character), scene != homes[character]))
    # no two looks of a story share a colour or a pattern more than they must
    chosen = [looks[i] for i in rng.choice(len(looks), len(homes), replace=False)]
    return Tale(CartoonStory(tuple(segments), dict(zip(homes, chosen, strict=True))), tuple(returns))


def with_twins(drawn: Sequence[Tale], seed: int) -> list[Tale]:
    """Let each story be followed by its twin: the same shots and prompts, but no character has the same look."""
    return [
        tale for number, one in enumerate(drawn) for tale in (one, _twin(np.random.default_rng([seed, number]), one))
    ]


def _twin(rng: np.random.Generator, tale: Tale) -> Tale:
    looks = tale.story.identities
    # a look of other parts throughout, so that none can be right by what the two have in common
    free = {character: [look for look in IDENTITIES if not any(map(eq, look, own))] for character, own in looks.items()}
    chosen: dict[str, Identity] = {}
    for character, left in free.items():
        left = [look for look in left if look not in chosen.values()]
        chosen[character] = left[rng.integers(len(left))]
    return replace(tale, story=replace(tale.story, identities=chosen))


def measure_returns(
    models: Models, policy: Policy, part: Sequence[Tale], seed: int, *, meter: SegmentMeter | None = None
) -> list[dict]:
    """Make stories under a policy. Returns a record of each return, story by story.

    Under a swapped policy stories come with their twins, and only the last return is scored: before it the banks are
    those of the stories themselves. `donor` is then whether the twin's whole look was shown.

    meter  looks at the attention of each segment's first chunk.
    """
    stories = [tale.story for tale in part]
    true_chunks = stories[0].segments[part[0].returns[0].segment].start_chunk
    streamer = StoryStreamer(models, stories, seed, truth_latents(models.codec, stories), meter)
    generated = streamer.generate(policy, true_chunks=true_chunks)
    if not policy.swapped:
        return [
            _score(models, generated, number, tale, back) for number, tale in enumerate(part) for back in tale.returns
        ]
    return [
        _score(models, generated, number, tale, tale.returns[-1], part[number ^ 1].story)
        for number, tale in enumerate(part)
    ]


def _score(
    models: Models,
    generated: GeneratedStories,
    number: int,
    tale: Tale,
    back: Return,
    donor: CartoonStory | None = None,
) -> dict:
    """Score the last chunk of a return, whose look is that of the chunk's last picture."""
    story = tale.story
    segment = story.segments[back.segment]
    chunks = range(segment.end_chunk - 1, segment.end_chunk)
    scores = evaluate_segment(
        generated.pictures(models.codec, number, chunks), segment, chunks, kind_of(back.character)
    )
    found, true = scores.identities[-1], story.identities[back.character]
    present = found is not None and bool(scores.right["character"])
    others = [look for character, look in story.identities.items() if character != back.character]
    last = back == tale.returns[-1]
    record = {"turn": back.turn, "away": back.away, "last": last, "present": present, "scene": scores.right["scene"]}
    # in the order in which a story's characters are met
    record["met"] = list(story.identities).index(back.character) + 1
    record |= {factor: present and getattr(found, factor) == getattr(true, factor) for factor in FACTORS}
    record["all"] = present and found == true
    record["other"] = present and found in others
    record["mixed"] = present and found != true and found not in others and _is_mixed(found, [true, *others])
    if donor is not None:
        record["donor"] = present and found == donor.identities[back.character]
    if generated.banks:
        shown = generated.banks[back.segment][:, number].tolist()
        hits = [[_shows(story, frame, back.character) for frame in layer] for layer in shown]
        record["bank"] = float(np.mean([any(layer) for layer in hits]))
        record["precision"] = float(np.mean([np.mean(layer) if layer else 0.0 for layer in hits]))
    return record


def _is_mixed(found: Identity, looks: Sequence[Identity]) -> bool:
    """Whether each part of a look is that of some character, but the look is nobody's."""
    return all(any(part == look[place] for look in looks) for place, part in enumerate(found))


def _shows(story: CartoonStory, latent_frame: int, character: str) -> bool:
    chunk = latent_frame // CHUNK_LATENTS
    return any(
        character in segment.cast and segment.start_chunk <= chunk < segment.end_chunk for segment in story.segments
    )


def summary_of_returns(records: Sequence[dict]) -> dict:
    """Average records of returns; looks are given presence, `whole` is presence and all of the look together.

    `turn N` are whole looks of the N-th returns, `met N` those of the character that was met N-th.
    """
    there = [record for record in records if record["present"]]
    result: dict = {"returns": len(records), "present": _mean(records, "present"), "whole": _mean(records, "all")}
    result |= {name: _mean(there, name) for name in (*FACTORS, "all", "mixed", "other")}
    result |= {name: _mean(records, name) for name in ("scene", "bank", "precision", "donor") if name in records[0]}
    counts = {"present": len(records), "whole": len(records), "all": len(there)}
    result |= {f"{name}_error": share_error(result[name], count) for name, count in counts.items()}
    result["last"] = _mean([record for record in records if record["last"]], "all")
    for turn in sorted({record["turn"] for record in records}):
        result[f"turn {turn}"] = _mean([record for record in records if record["turn"] == turn], "all")
    for met in sorted({record["met"] for record in records}):
        result[f"met {met}"] = _mean([record for record in records if record["met"] == met], "all")
    for name, away in (("home", False), ("away", True)):
        result[name] = _mean([record for record in records if record["away"] == away], "all")
    return result


def share_error(share: float | None, count: int) -> float | None:
    """Standard error of a share of `count` draws, as if one more had gone either way: of 20 in 20 it is not nothing."""
    if share is None:
        return None
    likely = (share * count + 1) / (count + 2)
    return (likely * (1 - likely) / (count + 2)) ** 0.5


def _mean(records: Sequence[dict], name: str) -> float | None:
    return float(np.mean([record[name] for record in records])) if records else None
