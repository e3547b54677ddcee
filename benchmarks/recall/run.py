"""Does memory bring a character back as itself? The tiny story model, measured policy by policy.

    python -m benchmarks.recall --stories N --seed S [--json FILE] [--assets DIR] [--policies NAME ...]

In each story a character with colours that no prompt mentions is shown, is away for 11 chunks of an empty scene and of
another character, and comes back. Its identity is read from the pixels: the nearest of 120 drawn identities, or none
where the empty scene fits nearly as well. By chance a body is right in 1/6, an accessory in 1/5, a pattern in 1/4 and
all three in 1/120 of the stories.

prefilled       everything up to the return is ground truth, so that the true identity is known exactly: the headline.
                `default`, the memory that the model's streams have, `sink` and `none` are also measured on stories
                whose hero is in the very first chunk (`opening`).
self-generated  the model makes the whole story; its first appearance of the hero is compared with its return. Chance is
                how often the return shows the identity that the same prompts gave under another seed: a few-step
                sampler has favourite colours.
drift           (--minutes M) streams of random segments with the bank by prompt: picture error minute by minute.

Errors behind a +- are binomial ones, sqrt(p (1 - p) / stories).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from memflow_core.config import MemoryConfig
from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_FRAMES, CHUNK_LATENTS, FPS, Identity, start_frame

from .evaluate import FACTORS, SegmentScores, colour_distance, evaluate_segment, picture_error
from .stories import PLANS, RETURN_CHUNKS, Case, cases, long_story
from .stream import CHUNK_HELP, GeneratedStories, Models, Policy, StoryStreamer, policies, truth_latents
from .table import markdown, table

BATCH = 40  # stories side by side
DRIFT_STORIES = 4
LATE, OPENING = PLANS
ON_OPENING = ("default", "none", "sink")


# -- prefilled --------------------------------------------------------------------------------------------------------


def prefilled(models: Models, names: Sequence[str], stories: int, seed: int) -> dict[str, dict]:
    """Measure policies on stories that are ground truth up to the return. Returns scores by policy."""
    scores = _prefilled_plan(models, names, stories, seed, LATE)
    on_opening = [name for name in ON_OPENING if name in names]
    for name, score in _prefilled_plan(models, on_opening, stories, seed, OPENING).items():
        scores[name]["opening"] = score
    return scores


def _prefilled_plan(models: Models, names: Sequence[str], stories: int, seed: int, plan: str) -> dict[str, dict]:
    results: dict[str, list[dict]] = {name: [] for name in names}
    all_cases = cases(stories, seed, plan)
    for first in range(0, len(all_cases) if names else 0, BATCH):
        returns = PrefilledReturns(models, all_cases[first : first + BATCH], seed + first)
        for name in names:
            results[name] += returns.measure(name)
    return {name: summary(found) for name, found in results.items()}


class PrefilledReturns:
    """Stories that are ground truth up to the return, which the model makes.

    cases  cut alike, an even number.
    """

    def __init__(self, models: Models, cases: Sequence[Case], seed: int):
        self.models = models
        self.cases = cases
        stories = [case.story for case in cases]
        self.streamer = StoryStreamer(models, stories, seed, truth_latents(models.codec, stories))

    def generate(self, name: str) -> GeneratedStories:
        """Make the return under the policy of this name."""
        return self.streamer.generate(self.policy(name), true_chunks=self.cases[0].back.start_chunk)

    def policy(self, name: str) -> Policy:
        return policies(self.streamer.truth.shape[1])[name]

    def measure(self, name: str) -> list[dict]:
        """Make the return under a policy. Returns the scores of each story, for `summary`."""
        generated, swapped = self.generate(name), self.policy(name).swapped
        return [self._score(generated, number, case, swapped) for number, case in enumerate(self.cases)]

    def _score(self, generated: GeneratedStories, number: int, case: Case, swapped: bool) -> dict:
        back = range(case.back.start_chunk, case.back.end_chunk)
        scores = _segment_scores(self.models, generated, number, case, back)
        score = _score(scores, [case.identity] * RETURN_CHUNKS)
        donor = self.cases[number ^ 1]
        if swapped:
            score["donor"] = _recall(scores.identities, [donor.identity] * RETURN_CHUNKS)
        if generated.bank is not None:
            score["retrieval"] = _retrieval(generated, number, donor if swapped else case)
        return score


def _segment_scores(
    models: Models, generated: GeneratedStories, number: int, case: Case, chunks: range
) -> SegmentScores:
    """Score some chunks of generated story `number`."""
    segment = case.story.segment_at(start_frame(chunks.start))
    return evaluate_segment(generated.pictures(models.codec, number, chunks), segment, chunks, case.hero)


def _retrieval(generated: GeneratedStories, number: int, case: Case) -> dict[str, float]:
    """Share of the bank that shows the hero, and whether any frame does; mean over layers."""
    bank = generated.bank[:, number].tolist()
    shows = [[case.shows_hero(frame) for frame in layer] for layer in bank]
    return {
        "precision": float(np.mean([np.mean(layer) if layer else 0.0 for layer in shows])),
        "hit": float(np.mean([any(layer) for layer in shows])),
    }


# -- self-generated ---------------------------------------------------------------------------------------------------


def self_generated(models: Models, names: Sequence[str], stories: int, seed: int) -> dict[str, dict]:
    """Measure policies on stories that the model makes from the start. Returns scores by policy, with chance levels."""
    results: dict[str, list[dict]] = {name: [] for name in names}
    all_cases = cases(stories, seed, LATE)
    for first in range(0, len(all_cases), BATCH):
        part = all_cases[first : first + BATCH]
        part_stories = [case.story for case in part]
        chosen = policies(CHUNK_LATENTS * part_stories[0].chunks)
        met = range(part[0].first.end_chunk - RETURN_CHUNKS, part[0].first.end_chunk)
        other_seed = StoryStreamer(models, part_stories, seed + first + 1)
        other = other_seed.generate(chosen["sink"], end_chunk=met.stop)
        strangers = [_segment_scores(models, other, n, case, met).identities[-1] for n, case in enumerate(part)]
        for name in names:
            generated = StoryStreamer(models, part_stories, seed + first).generate(chosen[name])
            for number, case in enumerate(part):
                stranger = strangers[number]
                score = _self_generated_score(models, generated, number=number, case=case, met=met, stranger=stranger)
                results[name].append(score)
    return {name: summary(found) for name, found in results.items()}


def _self_generated_score(
    models: Models, generated: GeneratedStories, *, number: int, case: Case, met: range, stranger: Identity | None
) -> dict:
    """Score the return against the story's own chunks `met`, and against the identity under another seed."""
    before = _segment_scores(models, generated, number, case, met)
    after = _segment_scores(models, generated, number, case, range(case.back.start_chunk, case.back.end_chunk))
    score = _score(after, [before.identities[-1]] * RETURN_CHUNKS)
    score["chance"] = _recall(after.identities, [stranger] * RETURN_CHUNKS)
    if generated.bank is not None:
        score["retrieval"] = _retrieval(generated, number, case)
    return score


# -- drift ------------------------------------------------------------------------------------------------------------


def drift(models: Models, minutes: float, seed: int) -> dict[str, object]:
    """Measure the root mean square picture error by minute, and its ratio of the last minute to the first."""
    chunks = round(minutes * 60 * FPS / CHUNK_FRAMES)
    stories = [long_story(seed + number, chunks) for number in range(DRIFT_STORIES)]
    # all are cut every 5 chunks, so one stream makes them all
    generated = StoryStreamer(models, stories, seed).generate(Policy("prompt", MemoryConfig(retrieval="prompt")))
    by_chunk = np.zeros(chunks)
    for chunk in range(chunks):
        frame = start_frame(chunk + 1) - 1
        for number, story in enumerate(stories):
            end = CHUNK_LATENTS * (chunk + 1)
            pictures = models.codec.decode_part(generated.latents[number : number + 1], end - 1, end)[0]
            by_chunk[chunk] += picture_error(pictures[-1], story.segment_at(frame), frame) / len(stories)
    minute = round(60 * FPS / CHUNK_FRAMES)
    errors = [float(part.mean()) for part in np.split(by_chunk, range(minute, chunks, minute))]
    return {"stories": len(stories), "picture_error_by_minute": errors, "last_over_first": errors[-1] / errors[0]}


# -- scores -----------------------------------------------------------------------------------------------------------


def _score(scores: SegmentScores, truths: Sequence[Identity | None]) -> dict:
    distance = [
        colour_distance(found, true) if true is not None else 1.0
        for found, true in zip(scores.identities, truths, strict=True)
    ]
    return {
        "recall": _recall(scores.identities, truths),
        "present": float(np.mean([found is not None for found in scores.identities])),
        "colour_distance": float(np.mean(distance)),
        "follow": scores.right,
        "picture_error": scores.error,
        "motion": scores.motion,
    }


def _recall(identities: Sequence[Identity | None], truths: Sequence[Identity | None]) -> dict[str, float]:
    """Share of identities right in each factor, and in all at once. One that was not found is never right."""
    pairs = list(zip(identities, truths, strict=True))
    both = [(found, true) for found, true in pairs if found is not None and true is not None]
    right = {factor: sum(getattr(found, factor) == getattr(true, factor) for found, true in both) for factor in FACTORS}
    right["all"] = sum(found == true for found, true in both)
    return {factor: count / len(pairs) for factor, count in right.items()}


def summary(found: Sequence[dict]) -> dict:
    """Average the scores of stories, and add binomial errors of recall."""
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
    names = list(policies(frames=CHUNK_LATENTS))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recall", description="Measure what the tiny story model's memory brings back."
    )
    parser.add_argument("--stories", type=int, default=24, help="of each plan, an even number (24)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories and their noise (0)")
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    parser.add_argument("--markdown", type=Path, help="also write the table of prefilled stories there")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--chunk-frames", type=int, choices=(1, CHUNK_LATENTS), default=CHUNK_LATENTS, help=CHUNK_HELP)
    parser.add_argument("--policies", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--prefilled-only", action="store_true", help="leave out the self-generated stories")
    parser.add_argument("--minutes", type=float, default=0.0, help="length of the streams for drift; 0: none (0)")
    arguments = parser.parse_args()
    if arguments.stories < 2 or arguments.stories % 2:
        parser.error(f"--stories is {arguments.stories}, but must be an even number of at least 2.")
    torch.set_num_threads(1)
    began = time.monotonic()
    models = replace(Models.read(arguments.assets), chunk_frames=arguments.chunk_frames)
    result: dict[str, object] = {"stories": arguments.stories, "seed": arguments.seed}
    result["chunk_frames"] = arguments.chunk_frames
    scores = prefilled(models, arguments.policies, arguments.stories, arguments.seed)
    result["policies"] = scores
    print(table("prefilled", scores), flush=True)
    if not arguments.prefilled_only:
        known = policies(frames=CHUNK_LATENTS)
        own = [name for name in arguments.policies if not known[name].swapped]
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
