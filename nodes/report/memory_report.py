"""Read the memory part of a sampler's report: which frames the bank held, stretch by stretch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...memflow_core.play import ChunkMemory, RememberedFrame, read_log
from ...memflow_core.schedule import ChunkGrid

MOST_CHUNKS = 1_000_000
ROWS = ("auto", "chunks", "prompts")
MOST_CHUNK_ROWS = 40  # with more, `auto` makes a row for each prompt


@dataclass(frozen=True)
class Row:
    """A stretch of the story: frames that the bank held at its end and that it dropped, and shares of attention.

    share     mean over the stretch's chunks by kind of memory, from 0 to 1; None where it was not measured.
    recalled  first video frames of what came into the bank from the archive.
    """

    start_s: float
    end_s: float
    prompt: str
    bank: tuple[RememberedFrame, ...]
    dropped: tuple[RememberedFrame, ...]
    share: dict[str, float] | None
    recalled: frozenset[int] = frozenset()

    def moments(self) -> tuple[RememberedFrame, ...]:
        """All frames of the row: held, then dropped."""
        return (*self.bank, *self.dropped)


@dataclass(frozen=True)
class MemoryReport:
    """What memory did in a story.

    segments     (first chunk, chunk after the last, prompt) of each.
    memory       of every chunk from the start of the story.
    first_chunk  the first chunk that this run made.
    """

    grid: ChunkGrid
    segments: tuple[tuple[int, int, str], ...]
    memory: tuple[ChunkMemory, ...]
    first_chunk: int

    @property
    def first_px(self) -> int:
        """The video frame of the story that this run's video starts with."""
        return self.grid.start_px(self.first_chunk)

    def rows(self, kind: str) -> list[Row]:
        """Rows of a kind, one of ROWS."""
        by_chunk = self.by_chunk()
        every_chunk = len(by_chunk) <= MOST_CHUNK_ROWS if kind == "auto" else kind == "chunks"
        return by_chunk if every_chunk else self.by_segment()

    def by_chunk(self) -> list[Row]:
        """A row for each chunk that this run made."""
        return [
            self._row(prompt, self.memory[chunk : chunk + 1])
            for start, end, prompt in self.segments
            for chunk in range(max(start, self.first_chunk), end)
        ]

    def by_segment(self) -> list[Row]:
        """A row for each prompt that this run played."""
        starts = [(max(start, self.first_chunk), end, prompt) for start, end, prompt in self.segments]
        return [self._row(prompt, self.memory[start:end]) for start, end, prompt in starts if start < end]

    def to_dict(self) -> dict[str, Any]:
        """JSON of every chunk that this run made, with times in seconds and frames of the video."""
        rows = zip(self.by_chunk(), self.memory[self.first_chunk :], strict=True)
        chunks = [
            {
                "chunk": memory.chunk,
                "start_s": row.start_s,
                "end_s": row.end_s,
                "prompt": row.prompt,
                **memory.to_dict(),
            }
            for row, memory in rows
        ]
        return {"fps": self.grid.fps, "video_frames_per_chunk": self.grid.chunk_px, "chunks": chunks}

    def _row(self, prompt: str, memory: tuple[ChunkMemory, ...]) -> Row:
        last = memory[-1]
        held = {moment.frame for moment in last.bank}
        dropped = {moment.frame: moment for chunk in memory for moment in chunk.dropped if moment.frame not in held}
        return Row(
            start_s=round(self.grid.start_s(memory[0].chunk), 4),
            end_s=round(self.grid.start_s(last.chunk + 1), 4),
            prompt=prompt,
            bank=last.bank,
            dropped=tuple(dropped[frame] for frame in sorted(dropped)),
            share=_mean_share(memory),
            recalled=frozenset(m.frame for chunk in memory if chunk.archive for m in chunk.archive.recalled),
        )


def _mean_share(memory: Iterable[ChunkMemory]) -> dict[str, float] | None:
    shares = [chunk.share for chunk in memory if chunk.share is not None]
    return {kind: sum(share[kind] for share in shares) / len(shares) for kind in shares[0]} if shares else None


def read_report(text: str) -> MemoryReport:
    """Read the report of a sampler. Raises ValueError for a text that is none."""
    try:
        return _read(json.loads(text))
    # the text may come from anywhere, and hold anything in any place
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"this is no report of a MemFlow sampler ({type(error).__name__}: {str(error)[:80]}): connect the output "
            f"'report' of MemFlow Sampler or MemFlow Stream to Video."
        ) from error


def _read(report: dict[str, Any]) -> MemoryReport:
    plan = report["plan"]
    grid = ChunkGrid(plan["latent_frames_per_chunk"], plan["fps"])
    chunks, first = plan["chunks"], report.get("first_chunk", 0)
    if not 0 <= first < chunks <= MOST_CHUNKS:
        raise ValueError(f"chunks {first} to {chunks}")
    segments = tuple((s["start_chunk"], s["end_chunk"], str(s["prompt"])) for s in plan["segments"])
    edges = [0, *(end for _, end, _ in segments)]
    if [start for start, _, _ in segments] != edges[:-1] or edges[-1] != chunks or sorted(edges) != edges:
        raise ValueError("segments do not join")
    memory = read_log(report["memory"], grid, chunks, report.get("pins", ()))
    return MemoryReport(grid, segments=segments, memory=tuple(memory), first_chunk=first)
