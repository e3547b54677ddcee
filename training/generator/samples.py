"""Training samples of the generator: a target chunk, and a memory that a stream might have when it makes that chunk.

One sample is laid out in latent frames as  sink | bank | older chunk | newer chunk | copies of the target chunk.
Context frames are clean; each copy of the target has its own noise. A mask over frames says which frame attends to
which: context frames attend to what they may have attended to when a stream wrote their keys, and to no more. In
particular a bank frame attends to the sink and itself alone. A gradient through keys that had seen each other would
teach the model to pass an identity on through keys. Then window frames would hold all identities, and a bank would be
of no use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from memflow_core.config import MAX_ABSOLUTE_FRAMES

from ..cartoons import CHUNK_LATENTS, KINDS, Segment
from .latents import EncodedStory

SINK, BANK, WINDOW = 3, 3, 6  # latent frames; the window without the target
CONTEXT = SINK + BANK + WINDOW
RECORD_EVERY = 3  # chunks
OLDER, NEWER = SINK + BANK, SINK + BANK + CHUNK_LATENTS  # where the window's chunks begin
_IN_PLACE = ("empty", "stands", "waves")


@dataclass(frozen=True)
class SampleMix:
    """Shares and weights by which samples are drawn.

    first, second, opening  weight of a segment's first and second chunk and of a story's first.
    empty                   factor for empty scenes.
    moving                  factor for segments in which a character moves about.
    jumping                 factor for those in which one jumps: nothing else changes so much within a latent frame.
    back, new               factors for a segment's first two chunks, where all its characters come back or are known,
                            or one is new: the one asks for memory, the other cannot be predicted.
    bank                    shares of policies: relevant to the prompt, random, newest; the rest is an empty bank.
    no_sink                 share of samples without a sink.
    sparse                  share of samples that read memory sparsely, as under SMA.
    recached                share of windows with another segment's frames that are recomputed under the new prompt.
    far, compact            share of positions that are stretched up to where absolute ones end, or are relative.
    """

    first: float = 6.0
    second: float = 2.5
    opening: float = 12.0
    empty: float = 0.3
    moving: float = 1.0
    jumping: float = 4.0
    back: float = 3.0
    new: float = 0.5
    bank: tuple[float, float, float] = (0.5, 0.2, 0.12)
    no_sink: float = 0.1
    sparse: float = 0.25
    recached: float = 0.6
    far: float = 0.3
    compact: float = 0.2


@dataclass
class Sample:
    """One target chunk and its context. Latent frames are numbered within the story.

    story       number of the story.
    frames      int64 [CONTEXT + CHUNK_LATENTS]: latent frames of the context and of the target.
    positions   likewise: their positions for RoPE.
    valid       bool [CONTEXT]: whether there is such a frame.
    prompts     int64 [CONTEXT + CHUNK_LATENTS]: number of the prompt that each frame is made under.
    casts       int64 [CONTEXT]: cast of the frame's segment, a bit for each kind.
    cast        cast of the target's segment.
    joint       whether the window's chunks were recached together.
    sparse      whether each copy of the target reads only the most relevant frames of sink and bank.
    own_prompt  bool [CONTEXT]: whether keys were made under the frame's own prompt.
    known       whether the context shows every character of the target.
    kind        0 a segment's later chunk, 1 its first with all characters known, 2 its first with a new one.
    """

    story: int
    frames: np.ndarray
    positions: np.ndarray
    valid: np.ndarray
    prompts: np.ndarray
    casts: np.ndarray
    cast: int
    joint: bool
    sparse: bool
    own_prompt: np.ndarray
    known: bool
    kind: int


@dataclass
class SampleBatch:
    """Samples stacked: tensors [B, ...] of the fields of `Sample`."""

    story: Tensor
    frames: Tensor
    positions: Tensor
    valid: Tensor
    prompts: Tensor
    casts: Tensor
    cast: Tensor
    joint: Tensor
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


class PromptIndex:
    """Numbers of prompts, in the order in which they first occur."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Return the number of a prompt; a new prompt gets the next one."""
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


class ChunkTable:
    """Chunks of one story as sampling sees them. Each array has an entry for each chunk."""

    def __init__(self, story: EncodedStory, prompts: PromptIndex):
        segments = story.story.segments
        lengths = [segment.end_chunk - segment.start_chunk for segment in segments]
        self.chunks = sum(lengths)
        self.segment = np.repeat(np.arange(len(segments)), lengths)
        self.offset = np.concatenate([np.arange(length) for length in lengths])  # within the segment
        self.prompts = np.array([prompts.number(segment.prompt) for segment in segments])[self.segment]
        self.casts = np.array([cast_bits(segment.cast) for segment in segments])[self.segment]
        self.scenes = np.unique([segment.scene for segment in segments], return_inverse=True)[1][self.segment]
        self.novelty = np.array([_novelty(segments, number) for number in range(len(segments))])[self.segment]
        self.in_place = np.array([segment.action in _IN_PLACE for segment in segments])[self.segment]
        self.jumps = np.array([segment.action == "jumps" for segment in segments])[self.segment]

    def weights(self, mix: SampleMix) -> np.ndarray:
        """Return the probability of each chunk to be a target, float64 [chunks]."""
        weights = np.where(self.offset == 0, mix.first, np.where(self.offset == 1, mix.second, 1.0))
        weights = weights * np.where(self.casts == 0, mix.empty, 1.0) * np.where(self.in_place, 1.0, mix.moving)
        novelty = np.choose(self.novelty, (1.0, mix.back, mix.new))
        weights = weights * np.where(self.offset < 2, novelty, 1.0)
        weights[0] = mix.opening * (1.0 if self.in_place[0] else mix.moving)
        weights = weights * np.where(self.jumps, mix.jumping, 1.0)
        return weights / weights.sum()


def _novelty(segments: Sequence[Segment], number: int) -> int:
    """0 for an empty segment, or if all its characters were there just before; 1 if they return; 2 if any is new."""
    cast, before = set(segments[number].cast), segments[:number]
    seen = {kind for segment in before for kind in segment.cast}
    stays = number > 0 and cast <= set(before[-1].cast)
    return 2 if cast - seen else 0 if stays else 1


def cast_bits(cast: Iterable[str]) -> int:
    """Return a cast as an integer with a bit for each kind."""
    return sum(1 << KINDS.index(kind) for kind in cast)


class Sampler:
    """Draws samples from stories."""

    def __init__(self, mix: SampleMix):
        self.mix = mix
        self.prompts = PromptIndex()
        self.tables: list[ChunkTable] = []

    def add(self, stories: Iterable[EncodedStory]) -> None:
        """Draw from these stories too, from now on."""
        self.tables += [ChunkTable(story, self.prompts) for story in stories]

    def batch(
        self, rng: np.random.Generator, size: int, mix: SampleMix | None = None, stories: int | None = None
    ) -> SampleBatch:
        """Draw `size` samples.

        mix      weights of the targets in the place of the sampler's own.
        stories  draw from the first so many stories; None: from all.
        """
        stories = len(self.tables) if stories is None else min(stories, len(self.tables))
        samples = []
        for _ in range(size):
            story = int(rng.integers(stories))
            table = self.tables[story]
            chunk = rng.choice(table.chunks, p=table.weights(mix or self.mix))
            samples.append(self.sample(rng, story, int(chunk)))
        return SampleBatch.stack(samples)

    def sample(self, rng: np.random.Generator, story: int, chunk: int) -> Sample:
        """Draw a memory that a stream might have before it makes the chunk of a story."""
        table, start = self.tables[story], CHUNK_LATENTS * chunk
        frames, valid = np.zeros(CONTEXT + CHUNK_LATENTS, np.int64), np.zeros(CONTEXT, bool)
        frames[CONTEXT:] = range(start, start + CHUNK_LATENTS)
        if chunk > 0 and rng.random() >= self.mix.no_sink:
            frames[:SINK] = range(SINK)
            valid[:SINK] = True
        for place, first in ((OLDER, start - 2 * CHUNK_LATENTS), (NEWER, start - CHUNK_LATENTS)):
            # the story's first chunk stands in the sink, never in the window
            if first >= SINK:
                frames[place : place + CHUNK_LATENTS] = range(first, first + CHUNK_LATENTS)
                valid[place : place + CHUNK_LATENTS] = True
        bank = self._sample_bank(rng, table, chunk)
        frames[SINK : SINK + len(bank)] = bank
        valid[SINK : SINK + len(bank)] = True
        return self._complete(rng, story, chunk, frames=frames, valid=valid)

    def _sample_bank(self, rng: np.random.Generator, table: ChunkTable, chunk: int) -> np.ndarray:
        """Draw the latent frames of the bank, oldest first."""
        oldest_in_window = CHUNK_LATENTS * chunk - WINDOW
        every = RECORD_EVERY * CHUNK_LATENTS if rng.random() < 0.8 else 1
        candidates = np.arange(every if every > 1 else SINK, oldest_in_window, every)
        choice = rng.random()
        relevant, random, newest = np.cumsum(self.mix.bank)
        if not len(candidates) or choice >= newest:
            return candidates[:0]
        size = min(len(candidates), BANK if rng.random() < 0.7 else int(rng.integers(1, BANK + 1)))
        if choice < relevant:
            chunks = candidates // CHUNK_LATENTS
            shared = (table.casts[chunks] & table.casts[chunk]) != 0
            score = 2 * shared + (table.scenes[chunks] == table.scenes[chunk]) + 1.5 * rng.random(len(candidates))
            return np.sort(candidates[np.argsort(-score)[:size]])
        if choice < random:
            return np.sort(rng.choice(candidates, size, replace=False))
        return candidates[-size:]

    def _complete(
        self, rng: np.random.Generator, story: int, chunk: int, *, frames: np.ndarray, valid: np.ndarray
    ) -> Sample:
        """Make the sample of chosen frames: prompts, casts and positions, and whether the window was recached."""
        table, chunks = self.tables[story], frames // CHUNK_LATENTS
        prompts, own_prompt = table.prompts[chunks], np.ones(CONTEXT, bool)
        joint = False
        offset = int(table.offset[chunk])
        if chunk and offset < 2 and table.segment[chunk] and rng.random() < self.mix.recached:
            foreign = table.segment[chunks[OLDER:CONTEXT]] != table.segment[chunk]
            prompts[OLDER:CONTEXT] = table.prompts[chunk]
            own_prompt[OLDER:CONTEXT] = ~foreign
            joint = offset == 0
        casts, cast = table.casts[chunks[:CONTEXT]], int(table.casts[chunk])
        seen = int(np.bitwise_or.reduce(casts[valid], initial=0))
        known = cast & ~seen == 0
        return Sample(
            story=story,
            frames=frames,
            positions=self._sample_positions(rng, frames, valid),
            valid=valid,
            prompts=prompts,
            casts=casts,
            cast=cast,
            joint=joint,
            sparse=bool(rng.random() < self.mix.sparse),
            own_prompt=own_prompt,
            known=known,
            kind=0 if offset else 1 if known else 2,
        )

    def _sample_positions(self, rng: np.random.Generator, frames: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Draw positions for RoPE. Only distances count, so late positions mean a sink and a bank far away."""
        positions, choice = frames.copy(), rng.random()
        banked = slice(SINK, SINK + int(valid[SINK:OLDER].sum()))
        size = banked.stop - banked.start
        if choice < self.mix.compact:
            positions[banked] = SINK + np.arange(size)
            sink = SINK if frames[CONTEXT] else 0
            window = int(valid[OLDER:].sum())
            positions[OLDER:] = sink + size + window + frames[OLDER:] - frames[CONTEXT] if sink else frames[OLDER:]
        elif choice < self.mix.compact + self.mix.far and frames[CONTEXT] > WINDOW:
            gap = int(np.exp(rng.uniform(0, np.log(MAX_ABSOLUTE_FRAMES - CHUNK_LATENTS - frames[CONTEXT]))))
            positions[OLDER:] += gap
            positions[banked] += np.sort(rng.integers(0, gap + 1, size))
        return positions


def frame_mask(batch: SampleBatch, copies: int) -> Tensor:
    """Build the attention mask over the frames of a batch, for `copies` copies of each target.

    Returns bool [B, n, n] with n = CONTEXT + copies * CHUNK_LATENTS: which frame (row) may attend to which (column).
    """
    frames, device = CONTEXT + copies * CHUNK_LATENTS, batch.valid.device
    mask = torch.zeros(frames, frames, dtype=torch.bool, device=device)
    mask[:SINK, :SINK] = True
    mask[SINK:OLDER, :SINK] = True
    mask[OLDER:NEWER, :NEWER] = True
    mask[NEWER:CONTEXT, :CONTEXT] = True
    for copy in range(copies):
        own = slice(CONTEXT + copy * CHUNK_LATENTS, CONTEXT + (copy + 1) * CHUNK_LATENTS)
        mask[own, :CONTEXT] = True
        mask[own, own] = True
    mask = mask.repeat(len(batch.valid), 1, 1)
    mask[:, OLDER:NEWER, NEWER:CONTEXT] |= batch.joint[:, None, None]
    mask[:, :, :CONTEXT] &= batch.valid[:, None]
    return mask | torch.eye(frames, dtype=torch.bool, device=device)
