"""What memory did during each chunk, from trace records: frames in the bank, dropped, recorded, and attention shares.

Trace records speak of latent frames, layers and batch items. Here a remembered frame has its time in the video in
seconds, the video frame it starts at, the chunk it was made in, and the share of layers that hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from itertools import chain, groupby
from typing import Any

from ..memory import KINDS, Record
from ..schedule import ChunkGrid, Time
from ..stream import FIRST_PICTURE, Chunk

# policies whose scores are only the age of a frame
UNSCORED = ("fifo",)


@dataclass(frozen=True)
class RememberedFrame:
    """One remembered latent frame.

    time_s, frame  where it stands in the video: in seconds, and its first video frame. An initial picture for the bank
                   is not in the video: its frame is below zero, -2 for the first, and its time 0.
    chunk          the chunk it was made in; -1 for such a picture.
    score          its relevance before this chunk, averaged over layers; None where no scores were compared.
    layers         the share of layers (and batch items) that hold it, 0 to 1.
    pinned, name   whether it is pinned, and the pin's name, if any.
    """

    time_s: float
    frame: int
    _: KW_ONLY
    chunk: int
    score: float | None
    layers: float
    pinned: bool
    name: str | None = None

    @property
    def label(self) -> str:
        """Its time as text, or which of the pictures it is."""
        return f"picture {-1 - self.frame}" if self.frame < 0 else f"{self.time_s:.2f} s"


@dataclass(frozen=True)
class ArchiveChoice:
    """The bank chosen anew from the archive, before the first chunk of a prompt.

    rule      how, one of ARCHIVE_RULES.
    moments   how many frames the archive held.
    recalled  frames that came into the bank from it.
    best      frames that scored best for the prompt, best first; not all of a long story's.
    """

    rule: str
    moments: int
    recalled: tuple[RememberedFrame, ...]
    best: tuple[RememberedFrame, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        frames = {kind: [asdict(frame) for frame in getattr(self, kind)] for kind in ("recalled", "best")}
        return {"rule": self.rule, "moments": self.moments, **frames}


@dataclass(frozen=True)
class ChunkMemory:
    """Memory during one chunk.

    bank      frames that attention could read.
    dropped   frames that left the bank before this chunk, and candidates that did not enter it.
    recorded  frames that became candidates after this chunk.
    share     of attention on sink, bank and window in the chunk's first step; None where it was not measured.
    archive   what was chosen from the archive before this chunk; None where nothing was.
    even      the shares if every frame that was read had got the same; None where it was not counted.
    """

    chunk: int
    bank: tuple[RememberedFrame, ...]
    dropped: tuple[RememberedFrame, ...]
    recorded: tuple[RememberedFrame, ...]
    share: Mapping[str, float] | None
    archive: ArchiveChoice | None = None
    even: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All but the chunk's number, fit for JSON."""
        kinds = ("bank", "dropped", "recorded")
        frames = {kind: [asdict(frame) for frame in getattr(self, kind)] for kind in kinds}
        archive = {} if self.archive is None else {"archive": self.archive.to_dict()}
        even = {} if self.even is None else {"even": dict(self.even)}
        return {**frames, "share": None if self.share is None else dict(self.share), **even, **archive}


class MemoryLog:
    """Follow a stream's memory chunk by chunk.

    grid  the grid of the stream's chunks.
    pins  latent frames that are pinned from the start.
    """

    def __init__(self, grid: ChunkGrid, pins: Iterable[int] = ()):
        self.grid = grid
        # a frame may be pinned for good, under the name None, and under a name of its own
        self.pins: dict[int, set[str | None]] = {frame: {None} for frame in pins}
        # latent frames by layer, one list for each batch item
        self._held: dict[int, list[list[int]]] = {}

    def chunk(self, chunk: Chunk) -> ChunkMemory:
        """Return the memory of a finished chunk. Every chunk must be given once, in order, or skipped."""
        return self.read(chunk.index, chunk.trace)

    def read(self, index: int, records: Iterable[Record]) -> ChunkMemory:
        """Return the memory of a chunk from its trace records, as `chunk` does."""
        before = self._frames()
        scores = _Scores()
        recorded: list[int] = []
        candidates: set[int] = set()
        share = chosen = None
        even: dict[str, float] | None = None
        for record in records:
            if record["event"] == "retrieve":
                scores.add(record)
                candidates.add(record["candidate"])
                self._hold(record)
            elif record["event"] == "choose":
                scores.add_choice(record)
                chosen = record
                self._hold(record)
            elif record["event"] == "record":
                recorded.append(record["frame"])
            elif record["event"] == "pin":
                self.pins.setdefault(record["frame"], set()).add(record.get("name"))
            elif record["event"] == "unpin":
                self.pins.get(record["frame"], set()).discard(record.get("name"))
            elif record["event"] == "switch" and record["kind"] == "fresh":
                self._forget(index)
            elif record["event"] == "share":
                share = {kind: float(record[kind]) for kind in KINDS}
                # records of earlier code have none
                parts = zip(KINDS, record["even"], strict=True) if "even" in record else ()
                even = {kind: float(part) for kind, part in parts} or None
        after = self._frames()
        dropped = sorted((before.keys() | candidates) - after.keys())
        return ChunkMemory(
            chunk=index,
            bank=tuple(self._remembered(frame, scores.mean(frame), after[frame]) for frame in sorted(after)),
            dropped=tuple(self._remembered(frame, scores.mean(frame)) for frame in dropped),
            recorded=tuple(self._remembered(frame) for frame in sorted(recorded)),
            share=share,
            archive=None if chosen is None else self._choice(chosen, scores, after),
            even=even,
        )

    def skip(self, records: Iterable[Record]) -> None:
        """Read the records of earlier chunks without a result, for example those before a saved state."""
        for index, of_chunk in groupby(records, key=lambda record: record["chunk"]):
            self.read(index, of_chunk)

    def _choice(self, record: Record, scores: _Scores, after: Mapping[int, float]) -> ArchiveChoice:
        """What a `choose` record says, with scores of its chunk and the shares of layers that hold a frame now."""
        held, before = (set(chain.from_iterable(_flat(record[when]))) for when in ("after", "before"))
        recalled = sorted((held - before) & set(record["frames"]))
        return ArchiveChoice(
            rule=record["rule"],
            moments=record["archived"],
            recalled=tuple(self._remembered(frame, scores.mean(frame), after.get(frame, 0.0)) for frame in recalled),
            best=tuple(self._remembered(f, scores.mean(f), after.get(f, 0.0)) for f in record["frames"]),
        )

    def _forget(self, chunk: int) -> None:
        """Take up that a new story begins with a chunk: nothing of the one before is held, or pinned."""
        self._held = {layer: [[] for _ in items] for layer, items in self._held.items()}
        first = chunk * self.grid.latent_frames
        self.pins = {frame: names for frame, names in self.pins.items() if frame >= first}

    def _hold(self, record: Record) -> None:
        for layer, frames in enumerate(record["after"], start=record["first_layer"]):
            self._held[layer] = frames

    def _frames(self) -> dict[int, float]:
        """Every frame that is held, and the share of layers and batch items that hold it."""
        lists = [set(frames) for layer in self._held.values() for frames in layer]
        return {frame: sum(frame in held for held in lists) / len(lists) for frame in set().union(*lists)}

    def _remembered(self, frame: int, score: float | None = None, layers: float = 0.0) -> RememberedFrame:
        is_picture = frame <= FIRST_PICTURE
        names = self.pins.get(frame, set())
        px = frame if is_picture else int(self.grid.px_of(Time(frame, "latent")))
        return RememberedFrame(
            time_s=0.0 if is_picture else round(px / self.grid.fps, 4),
            frame=px,
            chunk=-1 if is_picture else frame // self.grid.latent_frames,
            score=score,
            layers=round(layers, 4),
            pinned=bool(names),
            name=None if is_picture else next((name for name in sorted(names - {None}, key=str)), None),
        )


class _Scores:
    """Scores of one chunk's retrievals, by latent frame."""

    def __init__(self) -> None:
        self._scores: dict[int, list[float]] = {}

    def add(self, record: Record) -> None:
        """Add the scores of a `retrieve` record, if it has any."""
        if record["scores"] is None or record["policy"] in UNSCORED:
            return
        for frames, scores in zip(_flat(record["before"]), _flat(record["scores"]), strict=True):
            # a candidate that competes has its score behind the others
            for frame, score in zip((*frames, record["candidate"]), scores, strict=False):
                self._scores.setdefault(frame, []).append(score)

    def add_choice(self, record: Record) -> None:
        """Add the scores of a `choose` record."""
        for scores in record["scores"]:
            for frame, score in zip(record["frames"], scores, strict=True):
                self._scores.setdefault(frame, []).append(score)

    def mean(self, frame: int) -> float | None:
        """Mean over layers and batch items; None for a frame without a score."""
        scores = self._scores.get(frame)
        return round(sum(scores) / len(scores), 6) if scores else None


def _flat(by_layer: list[list[list[Any]]]) -> list[list[Any]]:
    """[layers][batch][n] -> [layers x batch][n]."""
    return [row for layer in by_layer for row in layer]


def read_log(records: Iterable[Record], grid: ChunkGrid, chunks: int, pins: Iterable[int] = ()) -> list[ChunkMemory]:
    """Return the memory of chunks 0 to `chunks` - 1 from all the records of a stream.

    pins  latent frames that are pinned from the start.
    """
    log = MemoryLog(grid, pins)
    by_chunk: dict[int, list[Record]] = {}
    for record in records:
        by_chunk.setdefault(record["chunk"], []).append(record)
    return [log.read(index, by_chunk.get(index, ())) for index in range(chunks)]
