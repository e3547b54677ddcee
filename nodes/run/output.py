"""Turn a run's chunks into a video file while the next chunk is sampled: decode, encode, announce, in their order.

`host.overlap_of` decides where the decode runs; the encoder has a thread of its own. Progress, previews and events
come from the sampler's thread, which looks before every pass through the model for chunks that are in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image
from torch import Tensor

from ...memflow_core.stream import Chunk
from ...memflow_core.video import DriftWatch, PinnedFrames, Pipeline, Sound, VideoWriter, choose_codec, to_uint8
from .. import host
from ..report import picture_of
from .session import Run
from .start_state import StoryState

# tag of the file that holds what was played, as a schedule
PLAYED_TAG = "memflow_played"


def sound_of(audio: dict[str, Any] | None, skip_s: float) -> Sound | None:
    """The sound of a file, from an `AUDIO` without its first seconds. Raises ValueError if it cannot be written."""
    if audio is None:
        return None
    try:
        # a mapping of some kind: node packs have their own, which read the sound only now
        waveform, given = audio["waveform"], audio["sample_rate"]
        rate = int(given)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError("the audio is no sound: connect a node that gives AUDIO, such as Load Audio.") from error
    if not isinstance(waveform, Tensor) or waveform.ndim != 3 or waveform.shape[0] != 1:
        shape = list(waveform.shape) if isinstance(waveform, Tensor) else type(waveform).__name__
        raise ValueError(f"the audio has shape {shape}, but must be one clip: [1, channels, samples].")
    if rate != given:
        raise ValueError(f"the audio has {given} samples a second, but must have a whole number of them.")
    return Sound(waveform[0], rate).after(skip_s)


def video_writer(
    path: Path, fps: float, *, codec: str, crf_above_usual: int, metadata: dict[str, str], sound: Sound | None
) -> VideoWriter:
    """A writer for a new file; the path's ending names the container. Raises ValueError if it cannot be written."""
    crf = choose_codec(path.suffix, codec)[1].crf + crf_above_usual
    return VideoWriter(path, fps, codec=codec, crf=crf, metadata=metadata, sound=sound, hardware=True)


def write_video(
    run: Run, writer: VideoWriter, vae: Any, overlap: host.Overlap | None = None
) -> tuple[StoryState, dict[str, Any]]:
    """Sample a run to its end, and write its chunks to a file while others are sampled.

    writer   not open yet. However the run stops, what was written stays and plays.
    vae      a `VAE` that `host.check_stream_vae` accepts.
    overlap  what runs beside the sampling; None: what this machine is fit for.

    Returns where the story stands, and a report on the file fit for JSON.
    """
    if overlap is None:
        overlap = _choose_overlap(run, vae)
    if overlap.decode is None:
        host.log(f"chunks are decoded before the next is sampled: {overlap.why}")
    try:
        with (
            writer,
            VideoOutput(run, writer, vae, overlap) as output,
            run.hooks.set(look=output.look, settle=output.settle),
        ):
            for chunk in run:
                output.add(chunk)
            state = output.finish()
    except BaseException:
        _log_unfinished(writer)
        raise
    if writer.note is not None:
        host.log(writer.note)
    return state, output.report()


def _choose_overlap(run: Run, vae: Any) -> host.Overlap:
    overlap = host.overlap_of(host.device_of(run.request.model), host.vae_device(vae))
    decode = run.footprint.decode
    if overlap.decode == host.IN_STREAM and decode is not None and not decode.beside:
        return host.Overlap(None, True, "there is not room enough for a pass and a decode at once.")
    return overlap


def _log_unfinished(writer: VideoWriter) -> None:
    file = writer.path if writer.path.exists() else writer.unfinished
    if file.exists():
        host.log(f"stopped; the first {writer.frames} frames are in {file}.")


@dataclass(frozen=True)
class _Sampled:
    """A chunk to decode.

    latents  [1, C, F, h, w] in the latent space of a `LATENT`.
    tags     of the file from the moment this chunk is in it.
    """

    chunk: Chunk
    latents: Tensor
    tags: dict[str, str]


@dataclass(frozen=True)
class _Decoded:
    """A chunk to encode. frames: [f, H, W, 3] uint8 in RAM, or on their way there."""

    sampled: _Sampled
    frames: Tensor | PinnedFrames


@dataclass(frozen=True)
class _Encoded:
    """A chunk that is in the file, and pictures of its first and its last frame."""

    chunk: Chunk
    picture: Image.Image
    newest: Image.Image


class VideoOutput:
    """Takes the chunks of a run in their order. A context manager: it ends its threads, also after an error.

    writer   open until this has ended.
    vae      on its device, as `host.sampling` leaves it.
    overlap  what runs beside the sampling.
    """

    def __init__(self, run: Run, writer: VideoWriter, vae: Any, overlap: host.Overlap):
        self._run = run
        self._writer = writer
        self._vae = vae
        self._overlap = overlap
        self._in_thread = overlap.decode == host.IN_THREAD
        self._side = host.SideStream(run.request.model, vae) if overlap.decode == host.IN_STREAM else None
        self._drift = DriftWatch(run.request.grid.fps)
        self._stop = host.Stop()
        self._decoder = self._make_decoder()
        # work on a chunk that is done before the next one is sampled
        self._inline: list[Callable[[Any], Any]] = []
        # and work beside the sampling, by the name of its thread
        threads: dict[str, Callable[[Any], Any]] = {}
        if self._in_thread:
            threads["decode"] = self._decode_in_thread
        else:
            self._inline.append(self._decode)
        if overlap.encode:
            threads["encode"] = self._encode
        else:
            self._inline.append(self._encode)
        self._pipeline = Pipeline(threads, meanwhile=self._wait)

    def __enter__(self) -> VideoOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._in_thread:
            # a decode takes long on a CPU; what is decoded is still written
            self._stop.ask()
        self._pipeline.stop()
        if self._side is not None:
            self._side.wait()
        self._announce()

    def add(self, chunk: Chunk) -> None:
        """Decode and encode a chunk. Waits while those before it are far behind."""
        latents = host.to_latent(self._run.request.model, chunk.latents, stay=self._side is not None)
        item: Any = _Sampled(chunk, latents, host.text_tags({PLAYED_TAG: self._run.played()}))
        for work in self._inline:
            item = work(item)
        self._pipeline.put(item)
        self.look()

    def look(self) -> None:
        """Announce chunks that have reached the file. Raises what went wrong with others."""
        self._announce()
        self._pipeline.check()

    def settle(self) -> None:
        """Wait until no thread works on a chunk, so that nothing uses model or VAE."""
        self._pipeline.settle()

    def finish(self) -> StoryState:
        """Wait until every chunk is in the file and announced; returns where the story stands then."""
        self._pipeline.close()
        self.look()
        return self._run.state(self._decoder.state())

    def report(self) -> dict[str, Any]:
        """How the file was made, fit for JSON."""
        overlap: dict[str, Any] = {
            "decode": self._overlap.decode is not None,
            "encode": self._overlap.encode,
            "why": self._overlap.why,
        }
        if self._side is not None:
            overlap["chunks_beside"] = self._side.overlapped
        decoder = {"decoder": host.LIGHT_DECODER} if host.is_light(self._vae) else {}
        made = {"file": self._writer.path.name, "video_frames": self._writer.frames, **decoder}
        if self._writer.note is not None:
            made["note"] = self._writer.note
        return {**made, "overlap": overlap, "encoder": self._writer.encoder, "pictures": self._drift.report()}

    def _make_decoder(self) -> host.ChunkDecoder:
        if self._side is None:
            return resumed_decoder(self._run, self._vae)
        # what the decoder carries belongs to the stream that it decodes on
        with self._side.current():
            decoder = resumed_decoder(self._run, self._vae)
        self._side.wait()
        return decoder

    def _decode(self, sampled: _Sampled) -> _Decoded:
        if self._side is not None:
            frames = self._side.run(lambda z: PinnedFrames(self._decoder.decode_on_device(z)), sampled.latents)
            return _Decoded(sampled, frames)
        return _Decoded(sampled, to_uint8(self._decoder.decode(sampled.latents)))

    def _decode_in_thread(self, sampled: _Sampled) -> _Decoded:
        with self._stop.heeded():
            return self._decode(sampled)

    def _encode(self, decoded: _Decoded) -> _Encoded:
        frames = decoded.frames if isinstance(decoded.frames, Tensor) else decoded.frames.wait()
        self._writer.write(frames)
        self._writer.tag(decoded.sampled.tags)
        self._watch(decoded.sampled.chunk.index, frames)
        return _Encoded(decoded.sampled.chunk, picture_of(frames[0]), picture_of(frames[-1]))

    def _watch(self, chunk: int, frames: Tensor) -> None:
        """Measure a chunk's frames [f, H, W, 3] uint8; what has just gone wrong with the pictures goes to the log."""
        starts = {segment.start_chunk for segment in self._run.live.prompts.plan.segments}
        for sentence in self._drift.add(chunk, frames, new_prompt=chunk in starts):
            host.log(sentence)

    def _wait(self) -> None:
        host.stop_if_cancelled()
        self._announce()

    def _announce(self) -> None:
        for encoded in self._pipeline.take():
            self._run.announce(encoded.chunk, encoded.picture, encoded.newest)


def resumed_decoder(run: Run, vae: Any) -> host.ChunkDecoder:
    """A decoder at the point of the story where a run starts.

    Raises ValueError if the carry of the run's state does not fit the VAE.
    """
    decoder = host.chunk_decoder(vae)
    state = run.request.state
    if state is None:
        return decoder
    if state.decoder is not None:
        decoder.restore(state.decoder)
    else:
        # a state without a decoder's carry, from MemFlow Sampler: decode the newest chunks again
        for latents in run.recent_latents():
            decoder.decode(host.to_latent(run.request.model, latents))
    return decoder
