"""The trace told for people: what the bank held during each chunk, what it let go, and where attention looked.

Trace records speak of latent frames, layers and batch items. Here a remembered frame is a moment of the video: its time
in seconds, the video frame it starts at, the chunk it was made in, and the share of layers that hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from ..memory import KINDS, Record
from ..schedule import ChunkGrid, Time
from ..stream import FIRST_PICTURE

# a policy whose scores are only the age of a frame
UNSCORED = ("fifo",)


@dataclass(frozen=True)
class RememberedFrame:
    """One remembered latent frame.

    time_s, frame  where it stands in the video: in seconds, and its first video frame. A picture that was given to be
                   remembered stands nowhere: its frame is below zero, -2 for the first, and its time 0.
    chunk          the chunk it was made in; -1 for such a picture.
    score          how relevant it was found before this chunk, averaged over layers; None where nothing was weighed.
    layers         the share of layers (and batch items) that hold it, 0 to 1.
    pinned, name   whether it is kept on purpose, and under which name, if any.
    """

    time_s: float
    frame: int
    chunk: int
    score: float | None
    layers: float
    pinned: bool
    name: str | None = None

    @property
    def label(self) -> str:
        """Its time, or which of the pictures it is."""
        return f"picture {-1 - self.frame}" if self.frame < 0 else f"{self.time_s:.2f} s"


@dataclass(frozen=True)
class ChunkMemory:
    """Memory during one chunk: what attention could read, what was let go before it, what was offered after it.

    share  of attention on sink, bank and window in the chunk's first step; None where it was not measured.
    """

    chunk: int
    bank: tuple[RememberedFrame, ...]
    dropped: tuple[RememberedFrame, ...]
    recorded: tuple[RememberedFrame, ...]
    share: Mapping[str, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON, without the chunk's number."""
        kinds = ("bank", "dropped", "recorded")
        told = {kind: [asdict(moment) for moment in getattr(self, kind)] for kind in kinds}
        return {**told, "share": None if self.share is None else dict(self.share)}


class MemoryLog:
    """Follows a stream chunk by chunk.

    grid  where chunks fall.
    pins  latent frames that are pinned from the start.
    """

    def __init__(self, grid: ChunkGrid, pins: Iterable[int] = ()):
        self.grid = grid
        self.pins: dict[int, str | None] = dict.fromkeys(pins)
        # latent frames by layer, one list for each batch item
        self._held: dict[int, list[list[int]]] = {}

    def chunk(self, index: int, records: Iterable[Record]) -> ChunkMemory:
        """What the records of one chunk say. Chunks must come in their order."""
        before, scores = self._frames(), _Scores()
        recorded, candidates, share = [], set(), None
        for record in records:
            if record["event"] == "retrieve":
                scores.add(record)
                candidates.add(record["candidate"])
                self._hold(record)
            elif record["event"] == "record":
                recorded.append(record["frame"])
            elif record["event"] == "pin":
                self.pins[record["frame"]] = record.get("name")
            elif record["event"] == "unpin":
                self.pins.pop(record["frame"], None)
            elif record["event"] == "share":
                share = {kind: float(record[kind]) for kind in KINDS}
        after = self._frames()
        return ChunkMemory(
            index,
            tuple(self._moment(frame, scores.mean(frame), after[frame]) for frame in sorted(after)),
            tuple(
                self._moment(frame, scores.mean(frame)) for frame in sorted((before.keys() | candidates) - after.keys())
            ),
            tuple(self._moment(frame) for frame in sorted(recorded)),
            share,
        )

    def skip(self, records: Iterable[Record]) -> None:
        """Take in the records of chunks that are not to be told, such as those before a state."""
        for index, of_chunk in groupby(records, key=lambda record: record["chunk"]):
            self.chunk(index, of_chunk)

    def _hold(self, record: Record) -> None:
        for layer, frames in enumerate(record["after"], start=record["first_layer"]):
            self._held[layer] = frames

    def _frames(self) -> dict[int, float]:
        """Every frame that is held, and the share of layers and batch items that hold it."""
        lists = [set(frames) for layer in self._held.values() for frames in layer]
        return {frame: sum(frame in held for held in lists) / len(lists) for frame in set().union(*lists)}

    def _moment(self, frame: int, score: float | None = None, layers: float = 0.0) -> RememberedFrame:
        if frame <= FIRST_PICTURE:
            return RememberedFrame(0.0, frame, -1, score, round(layers, 4), frame in self.pins)
        px = int(self.grid.px_of(Time(frame, "latent")))
        made_in = frame // self.grid.latent_frames
        pinned = (frame in self.pins, self.pins.get(frame))
        return RememberedFrame(round(px / self.grid.fps, 4), px, made_in, score, round(layers, 4), *pinned)


class _Scores:
    """Scores of one chunk's decisions, by frame."""

    def __init__(self) -> None:
        self._seen: dict[int, list[float]] = {}

    def add(self, record: Record) -> None:
        if record["scores"] is None or record["policy"] in UNSCORED:
            return
        for frames, scores in zip(_flat(record["before"]), _flat(record["scores"]), strict=True):
            # a candidate that competes has its score behind the others
            for frame, score in zip((*frames, record["candidate"]), scores, strict=False):
                self._seen.setdefault(frame, []).append(score)

    def mean(self, frame: int) -> float | None:
        seen = self._seen.get(frame)
        return round(sum(seen) / len(seen), 6) if seen else None


def _flat(by_layer: list[list[list[Any]]]) -> list[list[Any]]:
    """[layers][batch][n] -> [layers x batch][n]."""
    return [row for layer in by_layer for row in layer]


def read_log(records: Iterable[Record], grid: ChunkGrid, chunks: int, pins: Iterable[int] = ()) -> list[ChunkMemory]:
    """The memory of chunks 0 to `chunks` - 1, from all the records of a stream."""
    story, by_chunk = MemoryLog(grid, pins), {}
    for record in records:
        by_chunk.setdefault(record["chunk"], []).append(record)
    return [story.chunk(index, by_chunk.get(index, ())) for index in range(chunks)]
