"""The memory part of a sampler's report, read for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...memflow_core.play import ChunkMemory, RememberedFrame, read_log
from ...memflow_core.schedule import ChunkGrid

MOST_CHUNKS = 1_000_000


@dataclass(frozen=True)
class Row:
    """A stretch of the story: what the bank held at its end, all that it let go, and how attention was shared out."""

    start_s: float
    end_s: float
    prompt: str
    bank: tuple[RememberedFrame, ...]
    dropped: tuple[RememberedFrame, ...]
    share: dict[str, float] | None

    def moments(self) -> tuple[RememberedFrame, ...]:
        return (*self.bank, *self.dropped)


@dataclass(frozen=True)
class MemoryReport:
    """first_px is the video frame of the story that this run's video starts with."""

    grid: ChunkGrid
    segments: tuple[tuple[int, int, str], ...]  # first chunk, chunk after the last, prompt
    memory: tuple[ChunkMemory, ...]  # of every chunk
    first_chunk: int

    @property
    def first_px(self) -> int:
        return self.grid.start_px(self.first_chunk)

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
        """Fit for JSON; times in seconds, frames are video frames."""
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
        gone = {moment.frame: moment for chunk in memory for moment in chunk.dropped if moment.frame not in held}
        start_s, end_s = self.grid.start_s(memory[0].chunk), self.grid.start_s(last.chunk + 1)
        dropped = tuple(gone[frame] for frame in sorted(gone))
        return Row(round(start_s, 4), round(end_s, 4), prompt, last.bank, dropped, _mean_share(memory))


def _mean_share(memory: Iterable[ChunkMemory]) -> dict[str, float] | None:
    shares = [chunk.share for chunk in memory if chunk.share is not None]
    return {kind: sum(share[kind] for share in shares) / len(shares) for kind in shares[0]} if shares else None


def read_report(text: str) -> MemoryReport:
    """Read the report of a sampler. Raises ValueError for a text that is none."""
    try:
        return _read(json.loads(text))
    # whatever a stranger's text may hold in its place
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
    return MemoryReport(grid, segments, tuple(read_log(report["memory"], grid, chunks, report.get("pins", ()))), first)
