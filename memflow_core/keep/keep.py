"""Keep moments while a story is played, and go on from the longest beginning that is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from ..schedule import Plan
from ..state import Snapshot, StreamState, restore, snapshot
from ..stream import Chunk, ControlPart, Stream
from .beginning import Prints, Setting, beginning, ends_of_parts, is_part_end, setting_of
from .library import GB, Library, default_budget
from .side_writer import SideWriter

# moments that wait to be written take room in RAM: small ones may queue, of large ones there is one
MOST_WAITING = GB


@dataclass(frozen=True)
class Taken:
    """A beginning that an earlier run has made.

    first  the chunk that it starts with.
    chunk  the coming chunk.
    ends   (digest, chunk) of the ends of its parts, the last one being the moment itself.
    state  of the stream there.
    """

    first: int
    chunk: int
    ends: tuple[tuple[str, int], ...]
    state: StreamState | None

    @property
    def parts(self) -> list[tuple[str, int, int]]:
        """(digest, first chunk, chunk after the last) of each part."""
        firsts = [self.first, *(end for _, end in self.ends)]
        return [(digest, first, end) for first, (digest, end) in zip(firsts, self.ends, strict=False)]


class Keep:
    """Keeps the exact moments of stories in a folder, for `play`.

    folder     made when the first moment is written; several programs may use one.
    budget_gb  most GB of all files together, 0 to keep nothing; None: by what is free on the disk, at most 20.
    model      a fingerprint of the model, where the caller knows one; else all of its numbers are read.
    on_told    called with each sentence that the user should read.

    resumed_from  after `play`: the chunk up to which the story was taken from an earlier run; 0: it was made from the
                  start; None before the first chunk.
    """

    def __init__(
        self,
        folder: str | Path,
        budget_gb: float | None = None,
        *,
        model: str | None = None,
        on_told: Callable[[str], None] = lambda _: None,
    ):
        if budget_gb is not None and not budget_gb >= 0:
            raise ValueError(f"the budget of kept moments is {budget_gb} GB, but must be 0 (keep none) or more.")
        budget = default_budget(Path(folder)) if budget_gb is None else int(min(budget_gb, 2**30) * GB)
        self.library = Library(folder, budget, on_told)
        self.resumed_from: int | None = None
        self._model = model
        self._on_told = on_told

    def begin(self, stream: Stream, seed: int | None) -> Keeping:
        """Keep what a stream makes; seed: of segments without their own, None for noise that cannot be told apart."""
        setting = None
        if self.library.budget and not stream.backbone.share.alone:
            self._on_told("no moments are kept: several processes share the stream.")
        elif self.library.budget and not all(part.identity for part in _parts_of(stream)):
            self._on_told("no moments are kept: its control cannot be told from another one.")
        elif self.library.budget and stream.memory_config.look_ahead:
            self._on_told("no moments are kept: memory looks ahead, so a beginning depends on all that follows.")
        elif self.library.budget and seed is not None and not stream.progress.chunk and stream.prompt is None:
            setting = setting_of(stream, self._model)
        elif self.library.budget:
            self._on_told("no moments are kept: only a story that starts from nothing, with seeded noise, has them.")
        return Keeping(self, self.library, setting, seed or 0, stream, self._on_told)


def _parts_of(stream: Stream) -> tuple[ControlPart, ...]:
    return () if stream.control is None else stream.control.parts


class Keeping:
    """The keeping of one run, a context manager: at its end all that was put is written.

    keep     told where the run went on from; None where the caller looks after that.
    setting  None: nothing is kept.
    """

    def __init__(
        self,
        keep: Keep | None,
        library: Library,
        setting: Setting | None,
        seed: int,
        stream: Stream,
        on_told: Callable[[str], None],
    ):
        self.library = library
        self.writer = SideWriter(MOST_WAITING, on_told)
        self._keep = keep
        self._setting = setting
        self._seed = seed
        self._stream = stream
        self._on_told = on_told
        # the first chunk of the part under way, and its latents so far
        self._first = 0
        self._latents: list[Tensor] = []
        self._prints = Prints()

    def __enter__(self) -> Keeping:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    def take_up(self, plan: Plan, embeddings: Sequence[Tensor], weights: Sequence[str]) -> Iterator[Chunk]:
        """Bring the stream to the longest beginning that is the same, and yield its chunks as they were made."""
        if self._keep is not None:
            self._keep.resumed_from = 0
        if self._setting is None:
            return
        taken, chunks = self._read_longest(plan, embeddings, weights)
        if taken is None:
            return
        frames = self._stream.sampling.chunk_frames
        assert taken.state is not None, "of one that was found"
        restore(self._stream, taken.state)
        self._first = taken.chunk
        if self._keep is not None:
            self._keep.resumed_from = taken.chunk
        for index, chunk in enumerate(chunks):
            number = plan.segment_at(index)
            yield Chunk(index, index * frames, chunk.to(self._stream.device), number, (), [])

    def _read_longest(
        self, plan: Plan, embeddings: Sequence[Tensor], weights: Sequence[str]
    ) -> tuple[Taken | None, list[Tensor]]:
        """The longest beginning that can be read, and the latents [B, C, F, h, w] of each of its chunks."""
        setting, most = self._setting, plan.chunks
        assert setting is not None, "checked by its caller"
        while True:
            taken = longest(self.library, setting, self._seed, plan, embeddings, weights, most=most)
            if taken is None:
                return None, []
            chunks: list[Tensor] = []
            for digest, first, end in taken.parts:
                latents = self.library.latents(digest, first)
                if latents is None:
                    # damaged: a beginning that ends before may do
                    most = end
                    break
                chunks += latents.split(self._stream.sampling.chunk_frames, dim=2)
            else:
                return taken, chunks

    def before_chunk(self, plan: Plan, embeddings: Sequence[Tensor], weights: Sequence[str]) -> None:
        """Keep the moment before the coming chunk, if a part ends there."""
        chunk = self._stream.progress.chunk
        if self._setting is None or chunk == self._first or not is_part_end(plan, chunk):
            return
        first, self._first = self._first, chunk
        latents, self._latents = torch.cat(self._latents, dim=2), []
        digest = beginning(self._setting, self._seed, plan, self._prints.of(embeddings), weights, chunk)
        if not self.writer.reserve(latents.nbytes):
            return
        self.writer.put(latents.nbytes, lambda: self.library.keep_latents(digest, first, chunk, latents))
        moment = take_snapshot(self._stream, self.writer, self._on_told)
        if moment is not None:
            keep = self.library.keep_moment
            self.writer.put(moment.nbytes, lambda: keep(digest, chunk, moment.state().without_unmade_pins()))

    def add(self, chunk: Chunk) -> None:
        """Take a chunk of the part under way."""
        if self._setting is not None:
            self._latents.append(chunk.latents.to("cpu"))


def take_snapshot(stream: Stream, writer: SideWriter, on_told: Callable[[str], None]) -> Snapshot | None:
    """A stream's state for a writer, with room reserved for it; None where too much waits to be written."""
    moment = snapshot(stream, writer.reserve)
    if moment is None and not writer.stopped:
        on_told(f"the moment before chunk {stream.progress.chunk + 1} is not kept: the disk is still busy with others.")
    return moment


def longest(
    library: Library,
    setting: Setting,
    seed: int,
    plan: Plan,
    embeddings: Sequence[Tensor],
    weights: Sequence[str],
    *,
    first: int = 0,
    most: int | None = None,
    usable: Callable[[Taken], bool] | None = None,
) -> Taken | None:
    """The longest kept beginning that is a story's own, less than all of it; None where there is none.

    first   the chunk that the run starts with.
    most    chunks that it must be shorter than; None: the story's.
    usable  whether a beginning, whose state is still None, has all else that the caller needs; None: whether the
            latents of its parts are there.
    """
    prints = Prints().of(embeddings)
    ends = [
        (beginning(setting, seed, plan, prints, weights, chunk), chunk)
        for chunk in ends_of_parts(plan)
        if first < chunk < plan.chunks
    ]
    library.follow(ends)
    ends = [end for end in ends if most is None or end[1] < most]
    for count in range(len(ends), 0, -1):
        digest, chunk = ends[count - 1]
        if not library.has_moment(digest):
            continue
        taken = Taken(first, chunk, tuple(ends[:count]), None)
        if (usable or partial(_has_latents, library))(taken):
            state = library.moment(digest, chunk)
            if state is not None:
                return replace(taken, state=state)
    return None


def _has_latents(library: Library, taken: Taken) -> bool:
    return all(library.has_latents(digest, first) for digest, first, _ in taken.parts)
