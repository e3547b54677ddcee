"""A story's chunks become a file while the next one is sampled: decoded, encoded, and told of in their order.

Where the decode runs is `host.overlap_of`'s to say; the encoder has a thread of its own. Pages and previews are told
by the sampler's thread, which looks before every pass through the model for chunks that have reached the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from PIL import Image
from torch import Tensor

from ...memflow_core.stream import Chunk
from ...memflow_core.video import PinnedFrames, Pipeline, VideoWriter, to_uint8
from .. import host
from ..host import ChunkDecoder, LightDecoder, StreamingDecoder
from ..report import picture_of
from .session import Run
from .start_state import StoryState


@dataclass(frozen=True)
class _Made:
    """A chunk that is to be shown. tags: what the file is to say of the story when this chunk is in it."""

    chunk: Chunk
    latents: Tensor
    tags: dict[str, str]


@dataclass(frozen=True)
class _Shown:
    """A chunk with its frames [F, H, W, 3], uint8 in RAM or on their way there."""

    made: _Made
    frames: Tensor | PinnedFrames


@dataclass(frozen=True)
class _Written:
    """A chunk that is in the file, and its first frame."""

    chunk: Chunk
    picture: Image.Image


class VideoOutput:
    """Takes the chunks of a story in their order. A context manager: it ends its threads, however the story ends.

    writer  open until this has ended.
    tags    the file's tags, asked for when a chunk is made.
    """

    def __init__(
        self,
        told: Run,
        progress: host.Progress,
        writer: VideoWriter,
        vae: Any,
        overlap: host.Overlap,
        tags: Callable[[], dict[str, str]],
    ):
        self._told, self._progress, self._writer = told, progress, writer
        self._tags, self._overlap = tags, overlap
        self._in_thread = overlap.decode == host.IN_THREAD
        self._side = host.SideStream(told.request.model, vae) if overlap.decode == host.IN_STREAM else None
        if self._side is None:
            self._decoder = decoder_for(told, vae)
        else:
            # what the decoder carries belongs to the stream that it decodes on
            with self._side.current():
                self._decoder = decoder_for(told, vae)
            self._side.wait()
        # what is done with a chunk before the next one is sampled, and what beside it
        here = [] if self._in_thread else [self._show]
        beside = {"decode": self._show} if self._in_thread else {}
        if overlap.encode:
            beside["encode"] = self._write
        else:
            here.append(self._write)
        self._here = here
        self._pipeline = Pipeline(beside, meanwhile=self._wait)
        told.beside.look, told.beside.settle = self.look, self._pipeline.settle

    def __enter__(self) -> VideoOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._in_thread:
            # a decode takes long on a CPU; what is decoded is still written
            with host.threads_stopped():
                self._pipeline.stop()
        self._pipeline.stop()
        if self._side is not None:
            self._side.wait()
        self._tell()

    def add(self, chunk: Chunk) -> None:
        """Show and write a chunk. Waits while those before it are far behind."""
        latents = host.to_latent(self._told.request.model, chunk.latents, stay=self._side is not None)
        item: Any = _Made(chunk, latents, self._tags())
        for work in self._here:
            item = work(item)
        self._pipeline.put(item)
        self.look()

    def look(self) -> None:
        """Tell of chunks that have reached the file. Raises what went wrong with others."""
        self._tell()
        self._pipeline.check()

    def finish(self) -> StoryState:
        """Wait until every chunk is in the file and told of; where the story stands then."""
        self._pipeline.close()
        self.look()
        return self._told.state(self._decoder.state())

    def report(self) -> dict[str, Any]:
        """How it was made."""
        overlap = self._overlap
        done = {"decode": overlap.decode is not None, "encode": overlap.encode, "why": overlap.why}
        if self._side is not None:
            done["chunks_beside"] = self._side.beside
        return {"overlap": done, "encoder": self._writer.encoder}

    def _show(self, made: _Made) -> _Shown:
        if self._side is not None:
            return _Shown(made, self._side.run(lambda z: PinnedFrames(self._decoder.decode_there(z)), made.latents))
        return _Shown(made, to_uint8(self._decoder.decode(made.latents)))

    def _write(self, shown: _Shown) -> _Written:
        frames = shown.frames if isinstance(shown.frames, Tensor) else shown.frames.wait()
        self._writer.write(frames)
        self._writer.tag(shown.made.tags)
        return _Written(shown.made.chunk, picture_of(frames[0]))

    def _wait(self) -> None:
        host.stop_if_cancelled()
        self._tell()

    def _tell(self) -> None:
        for written in self._pipeline.take():
            self._progress.chunk(written.chunk)
            self._told.tell(written.chunk, written.picture)


def decoder_for(told: Run, vae: Any) -> ChunkDecoder:
    """A decoder at the point of the story where the stream stands."""
    decoder, state = (LightDecoder if host.is_light(vae) else StreamingDecoder)(vae), told.request.state
    if state is None:
        return decoder
    if state.decoder is not None:
        decoder.restore(state.decoder)
    else:
        # a state without a decoder's carry, from MemFlow Sampler: look at the latest pictures again
        for latents in told.stream.progress.recent:
            decoder.decode(host.to_latent(told.request.model, latents))
    return decoder
