"""Events for the page after every chunk, and a summary of all chunks for the node's result.

`memflow.chunk`  {node, prompt_id, workflow, chunk, chunks (null: open-ended), start_s, end_s, prompt, thumbnail (data
                 URL or null), memory, film}, where memory is what the core's `ChunkMemory.to_dict` returns, and film
                 what `GrowingFilm.to_dict` does; with `"kept": true`, and without film, for one that an earlier run has
                 made. The first has `thumbnails` where a state brought pictures of what it remembers: data URLs by
                 chunk, and by a number below zero of pictures that were given.
`memflow.done`   {node, prompt_id, workflow, ended (finished or stopped), memory, film}, where memory is the summary
                 without pictures, and film the file that a run which was stopped has left, or null.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from ...memflow_core.memory import Record
from ...memflow_core.play import ChunkMemory, MemoryLog
from ...memflow_core.schedule import Plan
from ...memflow_core.stream import Chunk
from .. import host
from .film import GrowingFilm

MOST_CHUNKS = 400  # newest chunks in a summary; the report has all of them


@dataclass(frozen=True)
class MadeBefore:
    """Chunks of this run's video that an earlier run has made.

    first     the first of them.
    pictures  data URLs of their first frames, by chunk, as far as there are any.
    """

    first: int
    pictures: Mapping[int, str]


@dataclass
class RunEvents:
    """Sends the events of one run. As a context manager it sends `memflow.done` at the end, also after an error.

    log          what memory did, from the start of the story.
    policy       how the bank decides.
    first_chunk  the first chunk of this run's video.
    film         the file that is written, if there is one.
    expected     how many chunks the story will have, as far as is known.
    """

    page: host.Page
    log: MemoryLog
    policy: str
    first_chunk: int
    film: GrowingFilm | None = None
    expected: int | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _chunks: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_CHUNKS), init=False)
    _thumbnails: dict[int, str] = field(default_factory=dict, init=False)
    _unsent: dict[int, str] = field(default_factory=dict, init=False)

    def show_before(self, pictures: Mapping[int, str]) -> None:
        """Show small pictures of what the run remembers from before, by chunk, and below zero by picture."""
        with self._lock:
            self._thumbnails.update(pictures)
        self._unsent = dict(pictures)

    def remembered(self) -> dict[int, str]:
        """Small pictures of what memory holds after the newest chunk, and of what it may come to hold, best first."""
        with self._lock:
            chunks, thumbnails = list(self._chunks), dict(self._thumbnails)
        kinds = [chunks[-1]["memory"]["bank"]] if chunks else []
        kinds += [entry["memory"].get("archive", {}).get("best", ()) for entry in chunks[-1:]]
        kinds += [entry["memory"]["recorded"] for entry in reversed(chunks)]
        numbers = [_number(frame) for frames in kinds for frame in frames]
        known = {number: thumbnails[number] for number in numbers if number in thumbnails}
        return known if chunks else thumbnails

    def send_chunk(self, chunk: Chunk, plan: Plan, chunks: int | None, thumbnail: str | None) -> None:
        """Send `memflow.chunk` for a finished chunk.

        chunks     of the whole story; None where its end is open.
        thumbnail  data URL of a small picture of the chunk's first frame.
        """
        entry = _entry(chunk.index, self.log.chunk(chunk), plan)
        self.expected = chunks
        self._keep(entry, thumbnail)
        self.page.send(
            "memflow.chunk",
            {**entry, "chunks": chunks, "thumbnail": thumbnail, "film": self._film_as_json(), **self._before_as_json()},
        )

    def send_before(
        self, made: MadeBefore, records: Sequence[Record], plan: Plan, chunks: int | None, until: int
    ) -> None:
        """Send `memflow.chunk` for the chunks before `until` that an earlier run has made.

        records  of the stream's trace, from the start of the story.
        """
        self.log.skip(record for record in records if record["chunk"] < made.first)
        by_chunk: dict[int, list[Record]] = {}
        for record in records:
            by_chunk.setdefault(record["chunk"], []).append(record)
        for index in range(made.first, until):
            entry = _entry(index, self.log.read(index, by_chunk.get(index, ())), plan)
            picture = made.pictures.get(index)
            self._keep(entry, picture)
            before = self._before_as_json()
            self.page.send("memflow.chunk", {**entry, "chunks": chunks, "thumbnail": picture, "kept": True, **before})

    def __enter__(self) -> RunEvents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        summary = {**self.summary(), "thumbnails": {}}
        left = None if kind is None else self._film_as_json()
        self.page.send(
            "memflow.done", {"ended": "finished" if kind is None else "stopped", "memory": summary, "film": left}
        )

    def now(self) -> dict[str, Any]:
        """All that a page needs to show the run so far, fit for JSON: the events' keys, and `memory`, the summary.

        Any thread may ask.
        """
        about = {"node": self.page.node_id, "prompt_id": self.page.prompt_id, "workflow": self.page.workflow_id}
        return {**about, "chunks": self.expected, "film": self._film_as_json(), "memory": self.summary()}

    def _before_as_json(self) -> dict[str, Any]:
        """The pictures from before the run, once."""
        unsent, self._unsent = self._unsent, {}
        return {"thumbnails": {str(number): url for number, url in unsent.items()}} if unsent else {}

    def _film_as_json(self) -> dict[str, Any] | None:
        return None if self.film is None else self.film.to_dict()

    def summary(self) -> dict[str, Any]:
        """The newest chunks, and pictures by the number of the chunk whose first frame they show, or below zero by the
        number of a picture that was given."""
        grid = self.log.grid
        with self._lock:
            chunks, thumbnails = list(self._chunks), dict(self._thumbnails)
        return {
            "first_chunk": self.first_chunk,
            "first_s": round(grid.start_s(self.first_chunk), 4),
            "chunk_frames": grid.chunk_px,
            "fps": grid.fps,
            "policy": self.policy,
            "chunks": chunks,
            "thumbnails": {str(chunk): url for chunk, url in sorted(thumbnails.items())},
        }

    def _keep(self, entry: dict[str, Any], thumbnail: str | None) -> None:
        with self._lock:
            self._chunks.append(entry)
            if thumbnail is not None:
                self._thumbnails[entry["chunk"]] = thumbnail
            if len(self._thumbnails) > 2 * MOST_CHUNKS:
                shown = {kept["chunk"] for kept in self._chunks}
                # those of before the run are no more than a state has
                shown |= {number for number in self._thumbnails if number < self.first_chunk}
                for memory in (kept["memory"] for kept in self._chunks):
                    best = memory.get("archive", {}).get("best", ())
                    shown |= {_number(frame) for frame in (*memory["bank"], *best)}
                self._thumbnails = {chunk: url for chunk, url in self._thumbnails.items() if chunk in shown}


def _entry(index: int, memory: ChunkMemory, plan: Plan) -> dict[str, Any]:
    return {
        "chunk": index,
        "start_s": round(plan.grid.start_s(index), 4),
        "end_s": round(plan.grid.start_s(index + 1), 4),
        "prompt": plan.segments[plan.segment_at(index)].prompt,
        "memory": memory.to_dict(),
    }


def _number(frame: Mapping[str, Any]) -> int:
    """The number that a remembered frame's small picture has."""
    return frame["frame"] if frame["frame"] < 0 else frame["chunk"]
