"""GeneratorTrainer samples of the generator: a chunk to make, and the memory that a stream would have when it makes it.

One sample is laid out in latent frames as  sink | bank | older chunk | newer chunk | copies of the target chunk.
Context frames are clean; each copy of the target has noise of its own. Which frame sees which is a mask over frames:
context frames see what they saw, or might have seen, when a stream wrote their keys, and no more. In particular a bank
frame sees the sink and itself alone. A gradient through keys that had seen each other would teach frames to pass an
identity on by keys, and then a bank would be of no use: window frames would hold it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from memflow_core.config import MAX_ABSOLUTE_FRAMES

from ..cartoons.story import Segment
from ..cartoons.world import KINDS
from .latents import CHUNK, EncodedStory

SINK, BANK, WINDOW = 3, 3, 6  # latent frames; the window without the target
CONTEXT = SINK + BANK + WINDOW
RECORD_EVERY = 3  # chunks
OLDER, NEWER = SINK + BANK, SINK + BANK + CHUNK  # where the window's chunks begin
_IN_PLACE = ("empty", "stands", "waves")


@dataclass(frozen=True)
class SampleMix:
    """How samples are drawn, in shares and weights.

    first, second, opening  weight of a segment's first and second chunk and of a story's first.
    moving                  weight of segments in which someone moves about.
    jumping                 factor for those in which someone jumps: nothing else changes so much within a latent frame.
    back, new               factors for a segment's first two chunks, where everybody in it comes back from somewhere
                            else, or somebody is new: the one asks for memory, the other cannot be foretold.
    bank                    shares of policies: relevant to the prompt, random, newest; the rest is empty.
    sparse                  how often memory is read sparsely, as under SMA.
    recached                how often a window that holds another segment's frames is recomputed under the new prompt.
    far, compact            how often positions are stretched up to where absolute ones end, or are relative ones.
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

    tale       number of the story.
    frames     [CONTEXT + CHUNK]; positions likewise: where RoPE puts them.
    valid      [CONTEXT]: whether there is such a frame.
    prompts    [CONTEXT + CHUNK]: number of the prompt that each frame is made under.
    casts      [CONTEXT]: who the frame's segment shows, a bit for each kind; cast: who the target does.
    joint      whether the window's chunks were recached together.
    sparse     whether each copy of the target reads the most relevant of sink and bank alone.
    own        [CONTEXT]: whether keys were made under the frame's own prompt.
    determined whether the context says who everybody is.
    kind       0 a segment's later chunk, 1 its first with everybody known, 2 its first with somebody new.
    """

    tale: int
    frames: np.ndarray
    positions: np.ndarray
    valid: np.ndarray
    prompts: np.ndarray
    casts: np.ndarray
    cast: int
    joint: bool
    sparse: bool
    own: np.ndarray
    determined: bool
    kind: int


@dataclass
class SampleBatch:
    """Samples stacked: tensors [B, ...] of the fields of `Sample`."""

    tale: Tensor
    frames: Tensor
    positions: Tensor
    valid: Tensor
    prompts: Tensor
    casts: Tensor
    cast: Tensor
    joint: Tensor
    sparse: Tensor
    own: Tensor
    determined: Tensor
    kind: Tensor

    @staticmethod
    def of(samples: list[Sample]) -> SampleBatch:
        names = [field.name for field in fields(Sample)]
        return SampleBatch(
            *(torch.from_numpy(np.stack([getattr(sample, name) for sample in samples])) for name in names)
        )

    def to(self, device: torch.device) -> SampleBatch:
        return SampleBatch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


class PromptIndex:
    """Numbers for prompts."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


class ChunkTable:
    """What sampling needs to know of one story, by chunk."""

    def __init__(self, tale: EncodedStory, book: PromptIndex):
        segments = tale.story.segments
        lengths = [segment.end_chunk - segment.start_chunk for segment in segments]
        self.chunks = sum(lengths)
        self.segment = np.repeat(np.arange(len(segments)), lengths)
        self.place = np.concatenate([np.arange(length) for length in lengths])
        self.prompts = np.array([book.number(segment.prompt) for segment in segments])[self.segment]
        self.casts = np.array([cast_bits(segment.cast) for segment in segments])[self.segment]
        self.scenes = np.unique([segment.scene for segment in segments], return_inverse=True)[1][self.segment]
        self.news = np.array([_news(segments, number) for number in range(len(segments))])[self.segment]
        self.in_place = np.array([segment.action in _IN_PLACE for segment in segments])[self.segment]
        self.jumps = np.array([segment.action == "jumps" for segment in segments])[self.segment]

    def weights(self, mix: SampleMix) -> np.ndarray:
        """How often each chunk is a target."""
        weights = np.where(self.place == 0, mix.first, np.where(self.place == 1, mix.second, 1.0))
        weights = weights * np.where(self.casts == 0, mix.empty, 1.0) * np.where(self.in_place, 1.0, mix.moving)
        known = np.choose(self.news, (1.0, mix.back, mix.new))
        weights = weights * np.where(self.place < 2, known, 1.0)
        weights[0] = mix.opening * (1.0 if self.in_place[0] else mix.moving)
        weights = weights * np.where(self.jumps, mix.jumping, 1.0)
        return weights / weights.sum()


def _news(segments: Sequence[Segment], number: int) -> int:
    """0 for an empty segment, or if all its characters were there just before; 1 if they return; 2 if any is new."""
    cast, before = set(segments[number].cast), segments[:number]
    seen = {kind for segment in before for kind in segment.cast}
    stays = number > 0 and cast <= set(before[-1].cast)
    return 2 if cast - seen else 0 if stays else 1


def cast_bits(cast: Iterable[str]) -> int:
    return sum(1 << KINDS.index(kind) for kind in cast)


class Sampler:
    """Draws samples from stories."""

    def __init__(self, mix: SampleMix):
        self.mix, self.book, self.chapters = mix, PromptIndex(), []

    def add(self, tales: Iterable[EncodedStory]) -> None:
        self.chapters += [ChunkTable(tale, self.book) for tale in tales]

    def batch(
        self, rng: np.random.Generator, size: int, mix: SampleMix | None = None, stories: int | None = None
    ) -> SampleBatch:
        """`size` samples from the first `stories` stories (all)."""
        stories = len(self.chapters) if stories is None else min(stories, len(self.chapters))
        drawn = []
        for _ in range(size):
            tale = int(rng.integers(stories))
            chapters = self.chapters[tale]
            chunk = rng.choice(chapters.chunks, p=chapters.weights(mix or self.mix))
            drawn.append(self.sample(rng, tale, int(chunk)))
        return SampleBatch.of(drawn)

    def sample(self, rng: np.random.Generator, tale: int, chunk: int) -> Sample:
        """The chunk of a story, with some memory that a stream might have there."""
        chapters, start = self.chapters[tale], CHUNK * chunk
        frames, valid = np.zeros(CONTEXT + CHUNK, np.int64), np.zeros(CONTEXT, bool)
        frames[CONTEXT:] = range(start, start + CHUNK)
        if chunk > 0 and rng.random() >= self.mix.no_sink:
            frames[:SINK], valid[:SINK] = range(SINK), True
        for place, first in ((OLDER, start - 2 * CHUNK), (NEWER, start - CHUNK)):
            # the story's first chunk stands in the sink, never in the window
            if first >= SINK:
                frames[place : place + CHUNK], valid[place : place + CHUNK] = range(first, first + CHUNK), True
        kept = self._bank(rng, chapters, chunk)
        frames[SINK : SINK + len(kept)], valid[SINK : SINK + len(kept)] = kept, True
        return self._described(rng, tale, chunk, frames, valid)

    def _bank(self, rng: np.random.Generator, chapters: ChunkTable, chunk: int) -> np.ndarray:
        """Latent frames in the bank, by age."""
        oldest_in_window = CHUNK * chunk - WINDOW
        every = RECORD_EVERY * CHUNK if rng.random() < 0.8 else 1
        candidates = np.arange(every if every > 1 else SINK, oldest_in_window, every)
        choice = rng.random()
        relevant, random, newest = np.cumsum(self.mix.bank)
        if not len(candidates) or choice >= newest:
            return candidates[:0]
        size = min(len(candidates), BANK if rng.random() < 0.7 else int(rng.integers(1, BANK + 1)))
        if choice < relevant:
            of = candidates // CHUNK
            shared = (chapters.casts[of] & chapters.casts[chunk]) != 0
            score = 2 * shared + (chapters.scenes[of] == chapters.scenes[chunk]) + 1.5 * rng.random(len(candidates))
            return np.sort(candidates[np.argsort(-score)[:size]])
        if choice < random:
            return np.sort(rng.choice(candidates, size, replace=False))
        return candidates[-size:]

    def _described(
        self, rng: np.random.Generator, tale: int, chunk: int, frames: np.ndarray, valid: np.ndarray
    ) -> Sample:
        chapters, of = self.chapters[tale], frames // CHUNK
        prompts, own = chapters.prompts[of], np.ones(CONTEXT, bool)
        joint = False
        place = int(chapters.place[chunk])
        if chunk and place < 2 and chapters.segment[chunk] and rng.random() < self.mix.recached:
            foreign = chapters.segment[of[OLDER:CONTEXT]] != chapters.segment[chunk]
            prompts[OLDER:CONTEXT] = chapters.prompts[chunk]
            own[OLDER:CONTEXT] = ~foreign
            joint = place == 0
        casts, cast = chapters.casts[of[:CONTEXT]], int(chapters.casts[chunk])
        seen = int(np.bitwise_or.reduce(casts[valid], initial=0))
        determined = cast & ~seen == 0
        return Sample(
            tale=tale,
            frames=frames,
            positions=self._positions(rng, frames, valid),
            valid=valid,
            prompts=prompts,
            casts=casts,
            cast=cast,
            joint=joint,
            sparse=bool(rng.random() < self.mix.sparse),
            own=own,
            determined=determined,
            kind=0 if place else 1 if determined else 2,
        )

    def _positions(self, rng: np.random.Generator, frames: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Where RoPE puts the frames. Only distances count, so late positions mean a sink and a bank far away."""
        positions, choice = frames.copy(), rng.random()
        banked = slice(SINK, SINK + int(valid[SINK:OLDER].sum()))
        size = banked.stop - banked.start
        if choice < self.mix.compact:
            positions[banked] = SINK + np.arange(size)
            held = SINK if frames[CONTEXT] else 0
            past = int(valid[OLDER:].sum())
            positions[OLDER:] = held + size + past + frames[OLDER:] - frames[CONTEXT] if held else frames[OLDER:]
        elif choice < self.mix.compact + self.mix.far and frames[CONTEXT] > WINDOW:
            gap = int(np.exp(rng.uniform(0, np.log(MAX_ABSOLUTE_FRAMES - CHUNK - frames[CONTEXT]))))
            positions[OLDER:] += gap
            positions[banked] += np.sort(rng.integers(0, gap + 1, size))
        return positions


def frame_mask(batch: SampleBatch, copies: int) -> Tensor:
    """Which frame sees which, bool [B, n, n], n = CONTEXT + copies * CHUNK; rows ask."""
    frames, device = CONTEXT + copies * CHUNK, batch.valid.device
    mask = torch.zeros(frames, frames, dtype=torch.bool, device=device)
    mask[:SINK, :SINK] = True
    mask[SINK:OLDER, :SINK] = True
    mask[OLDER:NEWER, :NEWER] = True
    mask[NEWER:CONTEXT, :CONTEXT] = True
    for copy in range(copies):
        own = slice(CONTEXT + copy * CHUNK, CONTEXT + (copy + 1) * CHUNK)
        mask[own, :CONTEXT] = True
        mask[own, own] = True
    mask = mask.repeat(len(batch.valid), 1, 1)
    mask[:, OLDER:NEWER, NEWER:CONTEXT] |= batch.joint[:, None, None]
    mask[:, :, :CONTEXT] &= batch.valid[:, None]
    return mask | torch.eye(frames, dtype=torch.bool, device=device)
