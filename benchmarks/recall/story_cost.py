"""CPU time of one story under two memories: the tiny model's own, and that without archive and reading alone."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import Backbone
from memflow_core.profiles import PROFILES
from memflow_core.stream import Stream
from training.cartoons import CHUNK_FRAMES, CHUNK_LATENTS, FPS, CartoonStory
from training.generator import SIDE

from .stories import long_story
from .stream import Models

WITH, WITHOUT = "with", "without"


def cost_of_recall(models: Models, seconds: float, every: float, pairs: int) -> dict[str, object]:
    """Stream stories of some seconds with a prompt every few, both ways chunk by chunk in turns.

    Returns the chunks of a story, CPU seconds of each run, the ratio of each pair, and what was counted of each kind of
    pass in all of them.
    """
    chunks, of_prompt = (max(1, round(length * FPS / CHUNK_FRAMES)) for length in (seconds, every))
    own = PROFILES["Tiny story model"].memory
    memories = {WITH: own, WITHOUT: replace(own, archive="off", bank_keys="made")}
    taken: dict[str, list[float]] = {name: [] for name in memories}
    passes: dict[str, Counter[str]] = {name: Counter() for name in memories}
    for seed in range(pairs):
        story = long_story(seed, chunks, of_prompt)
        runs = {name: _Run(models, story, memory, seed) for name, memory in memories.items()}
        for chunk in range(chunks):
            # neither always finds the caches that the other left
            for name in list(runs)[:: 1 if chunk % 2 else -1]:
                runs[name].step(chunk)
        for name, run in runs.items():
            taken[name].append(run.seconds)
            passes[name] += run.passes
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
            sampling=SamplingConfig(chunk_frames=CHUNK_LATENTS),
            seed=seed,
            frames=CHUNK_LATENTS * story.chunks,
        )

    @torch.inference_mode()
    def step(self, number: int) -> None:
        """Make the next chunk, of this number."""
        started, text = time.process_time(), self._texts.get(number)
        if text is not None:
            self._stream.set_prompt(text)
        chunk = next(self._stream)
        self.seconds += time.process_time() - started
        self.passes.update(forward.kind for forward in chunk.forwards)
