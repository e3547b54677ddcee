"""Does memory bring a character back as itself? The tiny story model, measured policy by policy.

    python -m benchmarks.recall --stories N --seed S [--json FILE] [--assets DIR] [--policies NAME ...]

In each story a character with colours that no prompt mentions is shown, is away for 11 chunks of an empty scene and of
somebody else, and comes back. Who came back is read from the pixels: the nearest of 120 drawn identities, and nobody
at all where the empty scene fits nearly as well. By chance a body is right in 1/6, an accessory in 1/5, a pattern in
1/4 and all three in 1/120 of the stories.

prefilled       everything up to the return is ground truth, so that identity is known exactly: the headline.
                `sink` and `none` are also measured on stories whose hero is in the very first chunk (`opening`).
self-generated  the model makes all of it; compared are its own first appearance and return. Chance is how often the
                return shows the identity that the same prompts gave under another seed: a few-step sampler has
                favourite colours.
drift           (--minutes M) streams of random segments with the bank by prompt: picture error minute by minute.

Errors behind a +- are binomial ones, sqrt(p (1 - p) / stories).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from memflow_core.config import MemoryConfig
from memflow_core.weights import ASSETS
from training.cartoons.story import start_frame
from training.cartoons.world import FPS, Identity

from .evaluate import FACTORS, SegmentScores, colour_distance, evaluate_segment, picture_error
from .stories import CHUNK, PLANS, RETURN_CHUNKS, Case, cases, long_story
from .stream import GeneratedStories, Models, Policy, StoryStreamer, policies, truth_latents
from .table import markdown, table

BATCH = 40  # stories side by side
DRIFT_STORIES = 4
LATE, OPENING = PLANS
ON_OPENING = ("none", "sink")


# -- prefilled --------------------------------------------------------------------------------------------------------


def prefilled(models: Models, names: Sequence[str], stories: int, seed: int) -> dict[str, dict]:
    """Scores by policy."""
    scores = _prefilled_plan(models, names, stories, seed, LATE)
    on_opening = [name for name in ON_OPENING if name in names]
    for name, score in _prefilled_plan(models, on_opening, stories, seed, OPENING).items():
        scores[name]["opening"] = score
    return scores


def _prefilled_plan(models: Models, names: Sequence[str], stories: int, seed: int, plan: str) -> dict[str, dict]:
    results: dict[str, list[dict]] = {name: [] for name in names}
    told_of = cases(stories, seed, plan)
    for first in range(0, len(told_of) if names else 0, BATCH):
        returns = PrefilledReturns(models, told_of[first : first + BATCH], seed + first)
        for name in names:
            results[name] += returns.measure(name)
    return {name: summary(found) for name, found in results.items()}


class PrefilledReturns:
    """Stories whose every chunk up to the return is ground truth, and whose return is the model's.

    part  cut alike, an even number.
    """

    def __init__(self, models: Models, part: Sequence[Case], seed: int):
        self.models, self.part = models, part
        stories = [case.story for case in part]
        self.teller = StoryStreamer(models, stories, seed, truth_latents(models.codec, stories))

    def measure(self, name: str) -> list[dict]:
        """Scores of each story under a policy, for `summary`."""
        policy = policies(self.teller.truth.shape[1])[name]
        told = self.teller.tell(policy, given_chunks=self.part[0].back.start_chunk)
        return [self._score(told, policy, number, case) for number, case in enumerate(self.part)]

    def _score(self, told: GeneratedStories, policy: Policy, number: int, case: Case) -> dict:
        shown = _shown(self.models, told, number, case, range(case.back.start_chunk, case.back.end_chunk))
        score = _score(shown, [case.identity] * RETURN_CHUNKS)
        donor = self.part[number ^ 1]
        if policy.swapped:
            score["donor"] = _recall(shown.readings, [donor.identity] * RETURN_CHUNKS)
        if told.bank is not None:
            score["retrieval"] = _retrieval(told, number, donor if policy.swapped else case)
        return score


def _shown(models: Models, told: GeneratedStories, number: int, case: Case, chunks: range) -> SegmentScores:
    segment = case.story.segment_at(start_frame(chunks.start))
    latents = told.latents[number : number + 1]
    pictures = models.codec.decode_part(latents, CHUNK * chunks.start, CHUNK * chunks.stop)[0]
    return evaluate_segment(pictures, segment, chunks, case.hero)


def _retrieval(told: GeneratedStories, number: int, case: Case) -> dict[str, float]:
    """Which share of the bank shows the hero, and whether any frame does; mean over layers."""
    bank = told.bank[:, number].tolist()
    shows = [[case.shows_hero(frame) for frame in layer] for layer in bank]
    return {
        "precision": float(np.mean([np.mean(layer) if layer else 0.0 for layer in shows])),
        "hit": float(np.mean([any(layer) for layer in shows])),
    }


# -- self-generated ---------------------------------------------------------------------------------------------------


def self_generated(models: Models, names: Sequence[str], stories: int, seed: int) -> dict[str, dict]:
    """Scores by policy, each with its chance level."""
    results: dict[str, list[dict]] = {name: [] for name in names}
    told_of = cases(stories, seed, LATE)
    for first in range(0, len(told_of), BATCH):
        part = told_of[first : first + BATCH]
        stories_told = [case.story for case in part]
        chosen = policies(CHUNK * stories_told[0].chunks)
        met = range(part[0].first.end_chunk - RETURN_CHUNKS, part[0].first.end_chunk)
        elsewhere = StoryStreamer(models, stories_told, seed + first + 1).tell(chosen["sink"], end_chunk=met.stop)
        strangers = [_shown(models, elsewhere, n, case, met).readings[-1] for n, case in enumerate(part)]
        for name in names:
            told = StoryStreamer(models, stories_told, seed + first).tell(chosen[name])
            for number, case in enumerate(part):
                before = _shown(models, told, number, case, met)
                after = _shown(models, told, number, case, range(case.back.start_chunk, case.back.end_chunk))
                score = _score(after, [before.readings[-1]] * RETURN_CHUNKS)
                score["chance"] = _recall(after.readings, [strangers[number]] * RETURN_CHUNKS)
                if told.bank is not None:
                    score["retrieval"] = _retrieval(told, number, case)
                results[name].append(score)
    return {name: summary(found) for name, found in results.items()}


# -- drift ------------------------------------------------------------------------------------------------------------


def drift(models: Models, minutes: float, seed: int) -> dict[str, object]:
    """Root mean square picture error by minute, and that of the last minute over that of the first."""
    chunks = round(minutes * 60 * FPS / 12)
    stories = [long_story(seed + number, chunks) for number in range(DRIFT_STORIES)]
    # all are cut every 5 chunks, so one stream tells them all
    told = StoryStreamer(models, stories, seed).tell(Policy("prompt", MemoryConfig(retrieval="prompt")))
    by_chunk = np.zeros(chunks)
    for chunk in range(chunks):
        frame = start_frame(chunk + 1) - 1
        for number, story in enumerate(stories):
            last = CHUNK * (chunk + 1)
            pictures = models.codec.decode_part(told.latents[number : number + 1], last - 1, last)[0]
            by_chunk[chunk] += picture_error(pictures[-1], story.segment_at(frame), frame) / len(stories)
    minute = round(60 * FPS / 12)
    errors = [float(part.mean()) for part in np.split(by_chunk, range(minute, chunks, minute))]
    return {"stories": len(stories), "picture_error_by_minute": errors, "last_over_first": errors[-1] / errors[0]}


# -- scores -----------------------------------------------------------------------------------------------------------


def _score(shown: SegmentScores, truths: Sequence[Identity | None]) -> dict:
    distance = [
        colour_distance(read, true) if true is not None else 1.0
        for read, true in zip(shown.readings, truths, strict=True)
    ]
    return {
        "recall": _recall(shown.readings, truths),
        "present": float(np.mean([read is not None for read in shown.readings])),
        "colour_distance": float(np.mean(distance)),
        "follow": shown.right,
        "picture_error": shown.error,
        "motion": shown.motion,
    }


def _recall(readings: Sequence[Identity | None], truths: Sequence[Identity | None]) -> dict[str, float]:
    """Share of readings right in each factor, and in all at once. Nobody is never right."""
    pairs = list(zip(readings, truths, strict=True))
    both = [(read, true) for read, true in pairs if read is not None and true is not None]
    right = {factor: sum(getattr(read, factor) == getattr(true, factor) for read, true in both) for factor in FACTORS}
    right["all"] = sum(read == true for read, true in both)
    return {factor: count / len(pairs) for factor, count in right.items()}


def summary(found: Sequence[dict]) -> dict:
    """Means over stories, and binomial errors of recall."""
    names = dict.fromkeys(name for score in found for name in score)
    result: dict = {"stories": len(found)}
    for name in names:
        values = [score[name] for score in found if score.get(name) is not None]
        if not values:
            result[name] = None
        elif isinstance(values[0], dict):
            result[name] = {part: float(np.mean([value[part] for value in values])) for part in values[0]}
        else:
            result[name] = float(np.mean(values))
    for name in ("recall", "donor", "chance"):
        if name in result:
            result[f"{name}_error"] = {part: _binomial(p, len(found)) for part, p in result[name].items()}
    if "donor" in result:
        result["donor_recall"] = result.pop("donor")
        result["donor_recall_error"] = result.pop("donor_error")
    return result


def _binomial(share: float, stories: int) -> float:
    return float(np.sqrt(share * (1 - share) / stories))


def main() -> None:
    names = list(policies(CHUNK))
    parser = argparse.ArgumentParser(description="Measure what the tiny story model's memory brings back.")
    parser.add_argument("--stories", type=int, default=24, help="of each plan, an even number (24)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories and their noise (0)")
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    parser.add_argument("--markdown", type=Path, help="also write the table of prefilled stories there")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--policies", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--prefilled-only", action="store_true", help="leave out the self-generated stories")
    parser.add_argument("--minutes", type=float, default=0.0, help="length of the streams for drift; 0: none (0)")
    arguments = parser.parse_args()
    if arguments.stories < 2 or arguments.stories % 2:
        parser.error(f"--stories is {arguments.stories}, but must be an even number of at least 2.")
    torch.set_num_threads(1)
    began = time.monotonic()
    models = Models.read(arguments.assets)
    result: dict[str, object] = {"stories": arguments.stories, "seed": arguments.seed}
    scores = prefilled(models, arguments.policies, arguments.stories, arguments.seed)
    result["policies"] = scores
    print(table("prefilled", scores), flush=True)
    if not arguments.prefilled_only:
        own = [name for name in arguments.policies if name != "swapped"]
        result["self_generated"] = self_generated(models, own, arguments.stories, arguments.seed)
        print(table("\nself-generated", result["self_generated"]), flush=True)
    if arguments.minutes:
        result["drift"] = drift(models, arguments.minutes, arguments.seed)
        print(f"\ndrift: {result['drift']}")
    result["seconds"] = time.monotonic() - began
    if arguments.markdown:
        arguments.markdown.write_text(markdown(scores))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
