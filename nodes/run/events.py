"""What a story tells while it is made: an event for the page after every chunk, and a summary for the node's result.

`memflow.chunk`  {node, prompt_id, chunk, chunks (null: open-ended), start_s, end_s, prompt, thumbnail (data URL or
                 null), memory}, where memory is as `memory_story.ChunkMemory.to_dict` has it.
`memflow.done`   {node, prompt_id, ended (finished or stopped), memory}, where memory is the summary without pictures.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ...memflow_core.play import MemoryLog
from ...memflow_core.schedule import Plan
from ...memflow_core.stream import Chunk
from .. import host
from ..report import data_url

MOST_TOLD = 400  # newest chunks that a summary tells of; the report has them all


@dataclass
class RunEvents:
    """Follows one run. `first` is its first chunk, `policy` how its bank decides."""

    page: host.Page
    story: MemoryLog
    policy: str
    first: int
    _told: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_TOLD), init=False)
    _pictures: dict[int, str] = field(default_factory=dict, init=False)

    def chunk(self, chunk: Chunk, plan: Plan, chunks: int | None, picture: Any) -> None:
        """A chunk is finished. picture: a PIL picture of its first frame, or None."""
        memory = self.story.chunk(chunk)
        thumbnail = None if picture is None else data_url(picture)
        told = {
            "chunk": chunk.index,
            "start_s": round(plan.grid.start_s(chunk.index), 4),
            "end_s": round(plan.grid.start_s(chunk.index + 1), 4),
            "prompt": next(s.prompt for s in plan.segments if s.start_chunk <= chunk.index < s.end_chunk),
            "memory": memory.to_dict(),
        }
        self._keep(told, thumbnail)
        self.page.send("memflow.chunk", {**told, "chunks": chunks, "thumbnail": thumbnail})

    def __enter__(self) -> RunEvents:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        summary = {**self.summary(), "thumbnails": {}}
        self.page.send("memflow.done", {"ended": "finished" if kind is None else "stopped", "memory": summary})

    def summary(self) -> dict[str, Any]:
        """The newest chunks, and pictures by the number of the chunk that they show the start of."""
        grid = self.story.grid
        return {
            "first_chunk": self.first,
            "first_s": round(grid.start_s(self.first), 4),
            "chunk_frames": grid.chunk_px,
            "fps": grid.fps,
            "policy": self.policy,
            "chunks": list(self._told),
            "thumbnails": {str(chunk): url for chunk, url in sorted(self._pictures.items())},
        }

    def _keep(self, told: dict[str, Any], thumbnail: str | None) -> None:
        self._told.append(told)
        if thumbnail is not None:
            self._pictures[told["chunk"]] = thumbnail
        if len(self._pictures) > 2 * MOST_TOLD:
            shown = {entry["chunk"] for entry in self._told}
            shown |= {moment["chunk"] for entry in self._told for moment in entry["memory"]["bank"]}
            self._pictures = {chunk: url for chunk, url in self._pictures.items() if chunk in shown}
