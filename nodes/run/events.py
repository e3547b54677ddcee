"""Events for the page after every chunk, and a summary of all chunks for the node's result.

`memflow.chunk`  {node, prompt_id, chunk, chunks (null: open-ended), start_s, end_s, prompt, thumbnail (data URL or
                 null), memory}, where memory is what the core's `ChunkMemory.to_dict` returns.
`memflow.done`   {node, prompt_id, ended (finished or stopped), memory}, where memory is the summary without pictures.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from PIL import Image

from ...memflow_core.play import MemoryLog
from ...memflow_core.schedule import Plan
from ...memflow_core.stream import Chunk
from .. import host
from ..report import data_url

MOST_CHUNKS = 400  # newest chunks in a summary; the report has all of them


@dataclass
class RunEvents:
    """Sends the events of one run. As a context manager it sends `memflow.done` at the end, also after an error.

    log          what memory did, from the start of the story.
    policy       how the bank decides.
    first_chunk  the first chunk that this run makes.
    """

    page: host.Page
    log: MemoryLog
    policy: str
    first_chunk: int
    _chunks: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_CHUNKS), init=False)
    _thumbnails: dict[int, str] = field(default_factory=dict, init=False)

    def send_chunk(self, chunk: Chunk, plan: Plan, chunks: int | None, picture: Image.Image | None) -> None:
        """Send `memflow.chunk` for a finished chunk.

        chunks   of the whole story; None where its end is open.
        picture  of the chunk's first frame.
        """
        memory = self.log.chunk(chunk)
        thumbnail = None if picture is None else data_url(picture)
        entry = {
            "chunk": chunk.index,
            "start_s": round(plan.grid.start_s(chunk.index), 4),
            "end_s": round(plan.grid.start_s(chunk.index + 1), 4),
            "prompt": plan.segments[plan.segment_at(chunk.index)].prompt,
            "memory": memory.to_dict(),
        }
        self._keep(entry, thumbnail)
        self.page.send("memflow.chunk", {**entry, "chunks": chunks, "thumbnail": thumbnail})

    def __enter__(self) -> RunEvents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        summary = {**self.summary(), "thumbnails": {}}
        self.page.send("memflow.done", {"ended": "finished" if kind is None else "stopped", "memory": summary})

    def summary(self) -> dict[str, Any]:
        """The newest chunks, and pictures by the number of the chunk whose first frame they show."""
        grid = self.log.grid
        return {
            "first_chunk": self.first_chunk,
            "first_s": round(grid.start_s(self.first_chunk), 4),
            "chunk_frames": grid.chunk_px,
            "fps": grid.fps,
            "policy": self.policy,
            "chunks": list(self._chunks),
            "thumbnails": {str(chunk): url for chunk, url in sorted(self._thumbnails.items())},
        }

    def _keep(self, entry: dict[str, Any], thumbnail: str | None) -> None:
        self._chunks.append(entry)
        if thumbnail is not None:
            self._thumbnails[entry["chunk"]] = thumbnail
        if len(self._thumbnails) > 2 * MOST_CHUNKS:
            shown = {kept["chunk"] for kept in self._chunks}
            shown |= {frame["chunk"] for kept in self._chunks for frame in kept["memory"]["bank"]}
            self._thumbnails = {chunk: url for chunk, url in self._thumbnails.items() if chunk in shown}
