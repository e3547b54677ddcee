"""Training samples of the generator: a target chunk, and the memory that a stream has when it makes that chunk.

A stream's memory is that of `StoryPlan`. A sample's context is sink | bank | older chunk | newer chunk, in latent
frames; each copy of the target has its own noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from memflow_core.config import MAX_ABSOLUTE_FRAMES

from ..cartoons import CHUNK_LATENTS
from .latents import EncodedStory
from .plan import CONTEXT, OLDER, SINK, WINDOW, ChunkTable, MemoryMix, PromptIndex, StoryPlan, plan_memory


@dataclass(frozen=True)
class SampleMix:
    """Shares and weights by which samples are drawn.

    first, second, opening  weight of a segment's first and second chunk and of a story's first.
    empty                   factor for empty scenes.
    moving                  factor for segments in which a character moves about.
    jumping                 factor for those in which one jumps: nothing else changes so much within a latent frame.
    pairs                   factor for those with two characters.
    back, new               factors for a segment's first two chunks, where all its characters come back or are known,
                            or one is new: the one asks for memory, the other cannot be predicted.
    sparse                  share of samples that read memory sparsely, as under SMA.
    far, compact            share of positions that are stretched up to where absolute ones end, or are relative.
    """

    first: float = 6.0
    second: float = 2.5
    opening: float = 8.0
    empty: float = 0.3
    moving: float = 1.0
    jumping: float = 2.5
    pairs: float = 2.0
    back: float = 3.0
    new: float = 0.5
    sparse: float = 0.25
    far: float = 0.3
    compact: float = 0.2

    def weights(self, table: ChunkTable) -> np.ndarray:
        """Return the probability of each chunk of a story to be a target, float64 [chunks]."""
        weights = np.where(table.offset == 0, self.first, np.where(table.offset == 1, self.second, 1.0))
        weights = weights * np.where(table.casts == 0, self.empty, 1.0) * np.where(table.in_place, 1.0, self.moving)
        novelty = np.choose(table.novelty, (1.0, self.back, self.new))
        weights = weights * np.where(table.offset < 2, novelty, 1.0) * np.where(table.pairs, self.pairs, 1.0)
        weights[0] = self.opening * (1.0 if table.in_place[0] else self.moving)
        weights = weights * np.where(table.jumps, self.jumping, 1.0)
        return weights / weights.sum()


@dataclass
class Sample:
    """One target chunk and its context. Latent frames are numbered within the story.

    story      number of the story.
    rows       int64 [CONTEXT]: clean rows of the story's plan.
    valid      bool [CONTEXT]: whether there is such a row.
    frames     int64 [CONTEXT + CHUNK_LATENTS]: latent frames of the context and of the target.
    positions  likewise: their positions for RoPE.
    prompts    int64 [CONTEXT + CHUNK_LATENTS]: number of the prompt that each frame is read or made under.
    casts      int64 [CONTEXT]: cast of the frame's segment, a bit for each character.
    cast       cast of the target's segment.
    alone      whether the bank's frames are read alone.
    sparse     whether each copy of the target reads only the most relevant frames of sink and bank.
    own_prompt bool [CONTEXT]: whether keys were made under the frame's own prompt.
    known      whether the context shows every character of the target.
    kind       0 a segment's later chunk, 1 its first with all characters known, 2 its first with a new one.
    """

    story: int
    rows: np.ndarray
    valid: np.ndarray
    frames: np.ndarray
    positions: np.ndarray
    prompts: np.ndarray
    casts: np.ndarray
    cast: int
    alone: bool
    sparse: bool
    own_prompt: np.ndarray
    known: bool
    kind: int


@dataclass
class SampleBatch:
    """Samples stacked: tensors [B, ...] of the fields of `Sample`."""

    story: Tensor
    rows: Tensor
    valid: Tensor
    frames: Tensor
    positions: Tensor
    prompts: Tensor
    casts: Tensor
    cast: Tensor
    alone: Tensor
    sparse: Tensor
    own_prompt: Tensor
    known: Tensor
    kind: Tensor

    @staticmethod
    def stack(samples: Sequence[Sample]) -> SampleBatch:
        """Stack samples along a new first axis, on the CPU."""
        names = [field.name for field in fields(Sample)]
        stacked = {name: np.stack([getattr(sample, name) for sample in samples]) for name in names}
        return SampleBatch(**{name: torch.from_numpy(values) for name, values in stacked.items()})

    def to(self, device: torch.device) -> SampleBatch:
        """Copy all tensors to a device."""
        names = [field.name for field in fields(self)]
        return SampleBatch(**{name: getattr(self, name).to(device, non_blocking=True) for name in names})


class Sampler:
    """Draws streams of stories, and samples from them."""

    def __init__(self, mix: SampleMix, memory: MemoryMix):
        self.mix = mix
        self.memory = memory
        self.prompts = PromptIndex()
        self.tables: list[ChunkTable] = []

    def add(self, stories: Iterable[EncodedStory]) -> None:
        """Draw from these stories too, from now on."""
        self.tables += [ChunkTable(story, self.prompts) for story in stories]

    def plan(self, rng: np.random.Generator, story: int) -> StoryPlan:
        """Draw what memory does along a story."""
        return plan_memory(rng, self.tables[story], self.memory)

    def sample(self, rng: np.random.Generator, story: int, plan: StoryPlan, mix: SampleMix | None = None) -> Sample:
        """Draw a chunk of a story, with the context that it has by a plan.

        mix  weights of the targets in the place of the sampler's own.
        """
        table = self.tables[story]
        chunk = int(rng.choice(table.chunks, p=(mix or self.mix).weights(table)))
        return self.sample_chunk(rng, story, plan, chunk)

    def sample_chunk(self, rng: np.random.Generator, story: int, plan: StoryPlan, chunk: int) -> Sample:
        """Make the sample of one chunk; positions and sparsity are drawn."""
        table, start = self.tables[story], CHUNK_LATENTS * chunk
        rows, valid = plan.context[chunk], plan.context_valid[chunk]
        frames = np.append(np.array(plan.frames)[rows], range(start, start + CHUNK_LATENTS))
        chunks = frames // CHUNK_LATENTS
        prompts = np.append(np.array(plan.prompts)[rows], np.repeat(table.prompts[chunk], CHUNK_LATENTS))
        casts, cast = table.casts[chunks[:CONTEXT]], int(table.casts[chunk])
        seen = int(np.bitwise_or.reduce(casts[valid], initial=0))
        known = cast & ~seen == 0
        return Sample(
            story=story,
            rows=rows,
            valid=valid,
            frames=frames,
            positions=self._sample_positions(rng, frames, valid),
            prompts=prompts,
            casts=casts,
            cast=cast,
            alone=bool(plan.alone[chunk]),
            sparse=bool(rng.random() < self.mix.sparse),
            own_prompt=prompts[:CONTEXT] == table.prompts[chunks[:CONTEXT]],
            known=known,
            kind=0 if table.offset[chunk] else 1 if known else 2,
        )

    def _sample_positions(self, rng: np.random.Generator, frames: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Draw positions for RoPE. Only distances count, so late positions mean a sink and a bank far away."""
        positions, choice = frames.copy(), rng.random()
        banked = slice(SINK, SINK + int(valid[SINK:OLDER].sum()))
        size = banked.stop - banked.start
        if choice < self.mix.compact:
            sink, window = int(valid[:SINK].sum()), int(valid[OLDER:].sum())
            positions[:SINK] = np.arange(SINK)
            positions[banked] = sink + np.arange(size)
            positions[OLDER:] = sink + size + window + frames[OLDER:] - frames[CONTEXT]
        elif choice < self.mix.compact + self.mix.far and frames[CONTEXT] > WINDOW:
            gap = int(np.exp(rng.uniform(0, np.log(MAX_ABSOLUTE_FRAMES - CHUNK_LATENTS - frames[CONTEXT]))))
            positions[OLDER:] += gap
            positions[banked] += np.sort(rng.integers(0, gap + 1, size))
        return positions
