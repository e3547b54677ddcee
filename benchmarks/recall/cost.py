"""What the archive and reading alone cost the tiny story model's generator: CPU time of a story with them and without.

    python -m benchmarks.recall.cost [--seconds 120] [--every 10] [--pairs 6]

A story with a new prompt every few seconds is streamed with the model's own memory, and with the same but for the
archive and reading alone. Both are streamed chunk by chunk in turns, on one thread, so that what else the machine does
falls on both alike. Nothing is decoded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.machine import conditions
from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import Backbone
from memflow_core.profiles import PROFILES
from memflow_core.stream import Stream
from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_FRAMES, FPS, CartoonStory
from training.generator import SIDE

from .stories import long_story
from .stream import Models

WITH, WITHOUT = "with", "without"


def cost_of_recall(models: Models, seconds: float, every: float, pairs: int) -> dict[str, object]:
    """Return CPU seconds of each run, the ratio of each pair, and passes by kind."""
    chunks, of_prompt = (max(1, round(length * FPS / CHUNK_FRAMES)) for length in (seconds, every))
    own = PROFILES["Tiny story model"].memory
    memories = {WITH: own, WITHOUT: replace(own, archive="off", bank_keys="made")}
    taken: dict[str, list[float]] = {name: [] for name in memories}
    passes: dict[str, Counter[str]] = {}
    for seed in range(pairs):
        story = long_story(seed, chunks, of_prompt)
        runs = {name: _Run(models, story, memory, seed) for name, memory in memories.items()}
        for _ in range(chunks):
            for run in runs.values():
                run.step()
        for name, run in runs.items():
            taken[name].append(run.seconds)
            passes[name] = run.passes
    ratios = [long / short for long, short in zip(taken[WITH], taken[WITHOUT], strict=True)]
    return {"chunks": chunks, "seconds": taken, "ratios": ratios, "passes": {n: dict(p) for n, p in passes.items()}}


class _Run:
    """A story that is streamed, the CPU time that it took, and its passes by kind."""

    def __init__(self, models: Models, story: CartoonStory, memory: MemoryConfig, seed: int):
        self.seconds = 0.0
        self.passes: Counter[str] = Counter()
        self._texts = {one.start_chunk: models.embed([one.prompt]) for one in story.segments}
        self._stream = Stream(
            Backbone(models.tree, models.dtype),
            LatentShape(SIDE, SIDE),
            memory=memory,
            sampling=SamplingConfig(),
            seed=seed,
            frames=3 * story.chunks,
        )
        self._chunks: Iterator[int] = iter(range(story.chunks))

    @torch.inference_mode()
    def step(self) -> None:
        """Make the next chunk."""
        started, text = time.process_time(), self._texts.get(next(self._chunks))
        if text is not None:
            self._stream.set_prompt(text)
        chunk = next(self._stream)
        self.seconds += time.process_time() - started
        self.passes.update(forward.kind for forward in chunk.forwards)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of the story (120)")
    parser.add_argument("--every", type=float, default=10, help="seconds of a prompt (10)")
    parser.add_argument("--pairs", type=int, default=6, help="stories, each streamed both ways (6)")
    arguments = parser.parse_args()
    if min(arguments.seconds, arguments.every, arguments.pairs) <= 0:
        parser.error("--seconds, --every and --pairs must be above 0.")
    torch.set_num_threads(1)
    found = cost_of_recall(Models.read(ASSETS), arguments.seconds, arguments.every, arguments.pairs)
    print(json.dumps(conditions(torch.device("cpu")) | found, indent=1))
    ratios = found["ratios"]
    print(f"with over without: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
