"""What a stream's memory holds along a story, chunk by chunk, when the story is streamed with random decisions.

Keys and values in training are made as a stream makes them. So a story is laid out as *clean rows*: one for each time
that a stream reads a latent frame without noise. Rows of a chunk's context pass come first, one a latent frame, so
that row n is latent frame n; behind them come rows of recaches, and of bank frames that are read alone. `read` lists
the rows that each row attends to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cartoons import CHARACTERS, CHUNK_LATENTS, KINDS, Segment, kind_of
from .latents import EncodedStory

# latent frames, the window without the coming chunk; without a sink the bank has its places too
SINK, BANK, WINDOW = 3, 3, 6
CONTEXT = SINK + BANK + WINDOW
OLDER, NEWER = SINK + BANK, SINK + BANK + CHUNK_LATENTS  # where the window's chunks begin
READ = CONTEXT + CHUNK_LATENTS
_RECORDED = ((3, 0.6), (9, 0.25), (1, 0.15))  # every so many latent frames are recorded, and in which share of banks
_IN_PLACE = ("empty", "stands", "waves")


@dataclass(frozen=True)
class MemoryMix:
    """Shares of what a stream's memory does, each drawn for a segment, or for a story.

    bank      shares of policies that fill a segment's bank: relevant to the prompt, random, newest; else it is empty.
    alone     share of segments whose bank frames are read alone (`memflow_core.stream.keys_alone`); in the others they
              have the keys of their context pass.
    recached  share of segments before which the window is read again under the new prompt.
    cut       share of segments before which sink and window are forgotten.
    renewed   share of a segment's later chunks before which its bank is filled anew, as by what is admitted meanwhile.
    no_sink   share of stories that are streamed without a sink, with a bank twice as large.
    """

    bank: tuple[float, float, float] = (0.6, 0.15, 0.1)
    alone: float = 0.7
    recached: float = 0.8
    cut: float = 0.06
    renewed: float = 0.2
    no_sink: float = 0.6


def cast_bits(cast: Sequence[str]) -> int:
    """Return a cast as an integer with a bit for each character."""
    return sum(1 << CHARACTERS.index(character) for character in cast)


def _kind_bits(cast: Sequence[str]) -> int:
    return sum(1 << number for number, kind in enumerate(KINDS) if kind in {kind_of(one) for one in cast})


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
        self.starts = np.cumsum(lengths) - lengths  # of each segment
        self.segment = np.repeat(np.arange(len(segments)), lengths)
        self.offset = np.concatenate([np.arange(length) for length in lengths])  # within the segment
        self.prompts = np.array([prompts.number(segment.prompt) for segment in segments])[self.segment]
        self.casts = np.array([cast_bits(segment.cast) for segment in segments])[self.segment]
        self.kinds = np.array([_kind_bits(segment.cast) for segment in segments])[self.segment]
        self.scenes = np.unique([segment.scene for segment in segments], return_inverse=True)[1][self.segment]
        self.novelty = np.array([_novelty(segments, number) for number in range(len(segments))])[self.segment]
        self.in_place = np.array([segment.action in _IN_PLACE for segment in segments])[self.segment]
        self.jumps = np.array([segment.action == "jumps" for segment in segments])[self.segment]
        self.led = np.array([segment.path is not None for segment in segments])[self.segment]
        self.pairs = np.array([len(segment.cast) > 1 for segment in segments])[self.segment]


def _novelty(segments: Sequence[Segment], number: int) -> int:
    """0 for an empty segment, or if all its characters were there just before; 1 if they return; 2 if any is new."""
    cast, before = set(segments[number].cast), segments[:number]
    seen = {one for segment in before for one in segment.cast}
    stays = number > 0 and cast <= set(before[-1].cast)
    return 2 if cast - seen else 0 if stays else 1


@dataclass
class StoryPlan:
    """Clean rows of a story, and the rows that each chunk's context is made of.

    frames        int64 [rows]: latent frame of each row.
    prompts       int64 [rows]: number of the prompt that it is read under.
    read          int64 [rows, READ]: rows that it attends to, its own among them; `read_valid` says where there is one.
    context       int64 [chunks, CONTEXT]: rows of sink | bank | window before each chunk, with `context_valid`. Of a
                  bank of more than BANK frames the oldest stand in the sink's places.
    alone         bool [chunks]: whether the bank's rows are frames that are read alone.
    """

    frames: list[int]
    prompts: list[int]
    read: np.ndarray
    read_valid: np.ndarray
    context: np.ndarray
    context_valid: np.ndarray
    alone: np.ndarray


class _Planner:
    """Streams a story under random decisions, and notes which rows each row and each chunk's context are made of."""

    def __init__(self, rng: np.random.Generator, table: ChunkTable, mix: MemoryMix):
        self.rng, self.table, self.mix = rng, table, mix
        frames = np.arange(CHUNK_LATENTS * table.chunks)
        self.frames: list[int] = frames.tolist()
        self.prompts: list[int] = table.prompts[frames // CHUNK_LATENTS].tolist()
        self.reads: list[list[int]] = [[] for _ in frames]
        self.newest = dict(enumerate(self.frames))  # row with the keys that a frame has now
        self.context = np.zeros((table.chunks, CONTEXT), np.int64)
        self.context_valid = np.zeros((table.chunks, CONTEXT), bool)
        self.alone = np.zeros(table.chunks, bool)
        self.sink_size = 0 if rng.random() < mix.no_sink else SINK
        self.bank_size = SINK + BANK - self.sink_size
        self.origin = 0
        self.bank: list[int] = []
        self.read_alone: dict[int, int] = {}  # row of each latent frame that is read alone

    def add_chunk(self, chunk: int) -> None:
        """Let memory do what it does before a chunk, and write the chunk."""
        start, switch = CHUNK_LATENTS * chunk, self.table.offset[chunk] == 0
        if switch and chunk and self.rng.random() < self.mix.cut:
            self.origin = start
        first = self.origin + self.sink_size
        sink, window = list(range(self.origin, min(start, first))), list(range(max(first, start - WINDOW), start))
        self.alone[chunk] = self.rng.random() < self.mix.alone if switch else self.alone[chunk - 1]
        if switch or self.rng.random() < self.mix.renewed:
            self._fill_bank(chunk, candidates_before=min([*window, start]), sink=sink)
        if switch and chunk and window and self.rng.random() < self.mix.recached:
            self._recache(chunk, sink, window)
        older = max(0, len(self.bank) - BANK)
        newest = [self.newest[frame] for frame in window]
        held = ((0, sink + self.bank[:older]), (SINK, self.bank[older:]), (CONTEXT - len(window), newest))
        for place, rows in held:
            self.context[chunk, place : place + len(rows)] = rows
            self.context_valid[chunk, place : place + len(rows)] = True
        own = list(range(start, start + CHUNK_LATENTS))
        for row in own:
            self.reads[row] = [*self.context[chunk][self.context_valid[chunk]].tolist(), *own]

    def _add_row(self, frame: int, prompt: int) -> int:
        self.frames.append(frame)
        self.prompts.append(prompt)
        self.reads.append([])
        return len(self.frames) - 1

    def _recache(self, chunk: int, sink: list[int], window: list[int]) -> None:
        """Read the frames that the chunk will see again, together and under its prompt."""
        span = [self._add_row(frame, int(self.table.prompts[chunk])) for frame in window]
        # a chunk that the coming one will not see stands in the window still
        oldest = range(max(self.origin + self.sink_size, window[0] - CHUNK_LATENTS), window[0])
        for row in span:
            self.reads[row] = [*sink, *self.bank, *(self.newest[frame] for frame in oldest), *span]
        self.newest |= dict(zip(window, span, strict=True))

    def _fill_bank(self, chunk: int, candidates_before: int, sink: list[int]) -> None:
        """Choose the bank that a chunk reads, oldest frame first."""
        spacings, shares = zip(*_RECORDED, strict=True)
        every = int(self.rng.choice(spacings, p=shares))
        candidates = np.setdiff1d(np.arange(0, candidates_before, every), sink)
        chosen: list[int] = _choose(self.rng, self.table, chunk, self.mix, candidates, self.bank_size).tolist()
        # once copied, keys do not change with a recache: those of the context pass, or of a frame that is read alone
        self.bank = [self._row_alone(frame) for frame in chosen] if self.alone[chunk] else chosen

    def _row_alone(self, frame: int) -> int:
        """Return the row of a frame that is read by itself, under its own prompt."""
        if frame not in self.read_alone:
            row = self._add_row(frame, int(self.table.prompts[frame // CHUNK_LATENTS]))
            self.reads[row] = [row]
            self.read_alone[frame] = row
        return self.read_alone[frame]


def plan_memory(rng: np.random.Generator, table: ChunkTable, mix: MemoryMix) -> StoryPlan:
    """Lay out the clean rows of one stream of a story."""
    planner = _Planner(rng, table, mix)
    for chunk in range(table.chunks):
        planner.add_chunk(chunk)
    read, read_valid = _padded(planner.reads)
    return StoryPlan(
        planner.frames,
        planner.prompts,
        read,
        read_valid,
        planner.context,
        planner.context_valid,
        planner.alone,
    )


def _choose(
    rng: np.random.Generator, table: ChunkTable, chunk: int, mix: MemoryMix, candidates: np.ndarray, places: int
) -> np.ndarray:
    choice = rng.random()
    relevant, random, newest = np.cumsum(mix.bank)
    if not len(candidates) or choice >= newest:
        return candidates[:0]
    size = min(len(candidates), places if rng.random() < 0.7 else int(rng.integers(1, places + 1)))
    if choice < relevant:
        chunks = candidates // CHUNK_LATENTS
        shared = (table.casts[chunks] & table.casts[chunk]) != 0
        alike = (table.kinds[chunks] & table.kinds[chunk]) != 0
        same_scene = table.scenes[chunks] == table.scenes[chunk]
        # another of the same kind is what a bank holds by mistake, so it has to be told apart
        score = 1.2 * shared + 0.9 * alike + same_scene + rng.choice((0.5, 1.5)) * rng.random(len(candidates))
        return np.sort(candidates[np.argsort(-score)[:size]])
    if choice < random:
        return np.sort(rng.choice(candidates, size, replace=False))
    return candidates[-size:]


def _padded(reads: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists of rows as int64 [rows, READ], and where there is one."""
    rows, valid = np.zeros((len(reads), READ), np.int64), np.zeros((len(reads), READ), bool)
    for number, row in enumerate(reads):
        rows[number, : len(row)] = row
        valid[number, : len(row)] = True
    return rows, valid
