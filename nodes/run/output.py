"""Turn a run's chunks into a video file while the next chunk is sampled: decode, encode, announce, in their order.

`host.overlap_of` decides where the decode runs; the encoder has a thread of its own. Progress, previews and events
come from the sampler's thread, which looks before every pass through the model for chunks that are in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image
from torch import Tensor

from ...memflow_core.keep import is_part_end
from ...memflow_core.stream import Chunk
from ...memflow_core.video import DriftWatch, PinnedFrames, Pipeline, Sound, VideoWriter, choose_codec, to_uint8
from .. import host
from ..report import data_url, picture_of
from .controls import used_control
from .kept import EndedPart, KeptStory
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
    run: Run,
    writer: VideoWriter,
    *,
    vae: Any,
    overlap: host.Overlap | None = None,
    kept: KeptStory | None = None,
    wants_state: bool = True,
) -> tuple[StoryState | None, dict[str, Any]]:
    """Sample a run to its end, and write its chunks to a file while others are sampled.

    writer   not open yet. However the run stops, what was written stays and plays.
    vae      a `VAE` that `host.check_stream_vae` accepts.
    overlap  what runs beside the sampling; None: what this machine is fit for.
    kept     keeps the story's moments; the file starts with what it has of an earlier run.

    Returns where the story stands, None unless `wants_state`, and a report on the file fit for JSON.
    """
    if overlap is None:
        overlap = _choose_overlap(run, vae)
    if overlap.decode is None:
        host.log(f"chunks are decoded before the next is sampled: {overlap.why}")
    try:
        with (
            writer,
            _after_beginning(run, writer, vae, kept),
            VideoOutput(run, writer, vae, overlap, kept) as output,
            run.hooks.set(look=output.look, settle=output.settle),
        ):
            for chunk in run:
                output.add(chunk)
            output.finish()
            state = output.state() if wants_state else None
    except BaseException:
        _log_unfinished(writer)
        raise
    if writer.note is not None:
        host.log(writer.note)
    return state, output.report()


@contextmanager
def _after_beginning(run: Run, writer: VideoWriter, vae: Any, kept: KeptStory | None) -> Iterator[None]:
    """Put into the file what an earlier run has made; pictures that it lacks are decoded and encoded again."""
    parts = [] if kept is None else kept.parts
    request = run.request
    last_missing = max((number for number, part in enumerate(parts) if part.film is None), default=-1)
    decoder = host.chunk_decoder(vae) if last_missing >= 0 else None
    if decoder is not None:
        host.log("pictures of an earlier run are not there in this format: they are decoded again.")
    for number, part in enumerate(parts):
        if part.film is not None:
            writer.write_part(part.film, request.height, request.width)
        if decoder is None or number > last_missing:
            continue
        # a film's part lies between two that are missing: what the decoder carries goes through it
        assert kept is not None and part.latents is not None, "checked when the beginning was taken up"
        for latents in part.latents.split(request.sampling.chunk_frames, dim=2):
            host.stop_if_cancelled()
            frames = decoder.decode(host.to_latent(request.model, latents.to(run.stream.device), stay=True))
            if part.film is None:
                writer.write(to_uint8(frames))
        if part.film is None and (film := writer.end_part()) is not None:
            kept.put_film(part, film)
    yield


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
    starts   whether a part of the film starts with it, and `ends`, whether one ends; `before` and `after` are those
             parts, where they are kept.
    """

    chunk: Chunk
    latents: Tensor
    tags: dict[str, str]
    starts: bool
    ends: bool
    before: EndedPart | None
    after: EndedPart | None


@dataclass(frozen=True)
class _Decoded:
    """A chunk to encode.

    frames  [f, H, W, 3] uint8 in RAM, or on their way there.
    carry   what the decoder carries from it on, where its part is kept.
    """

    sampled: _Sampled
    frames: Tensor | PinnedFrames
    carry: dict[str, Tensor] | None


@dataclass(frozen=True)
class _Encoded:
    """A chunk that is in the file, with a data URL of its first frame, small, and its last frame."""

    chunk: Chunk
    thumbnail: str
    newest: Image.Image


class VideoOutput:
    """Takes the chunks of a run in their order. A context manager: it ends its threads, also after an error.

    writer   open until this has ended.
    vae      on its device, as `host.sampling` leaves it.
    overlap  what runs beside the sampling.
    kept     keeps the story's moments.
    """

    def __init__(self, run: Run, writer: VideoWriter, vae: Any, overlap: host.Overlap, kept: KeptStory | None = None):
        self._run = run
        self._kept = kept
        self._writer = writer
        self._vae = vae
        self._overlap = overlap
        self._in_thread = overlap.decode == host.IN_THREAD
        self._side = None
        if overlap.decode == host.IN_STREAM:
            self._side = host.SideStream(run.request.model, vae, used_control(run.request.control))
        self._drift = DriftWatch(run.request.grid.fps)
        self._stop = host.Stop()
        # data URLs of the first frames of the chunks in the part under way
        self._small: list[str] = []
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
        item: Any = self._sampled(chunk, latents)
        for work in self._inline:
            item = work(item)
        self._pipeline.put(item)
        self.look()

    def _sampled(self, chunk: Chunk, latents: Tensor) -> _Sampled:
        schedule, kept = self._run.live.prompts, self._kept
        return _Sampled(
            chunk,
            latents,
            host.text_tags({PLAYED_TAG: self._run.played()}),
            starts=is_part_end(schedule.plan, chunk.index),
            ends=is_part_end(schedule.plan, chunk.index + 1),
            before=None if kept is None else kept.part_before(schedule, chunk),
            after=None if kept is None else kept.part_after(self._run.stream, schedule, chunk),
        )

    def look(self) -> None:
        """Announce chunks that have reached the file. Raises what went wrong with others."""
        self._announce()
        self._pipeline.check()

    def settle(self) -> None:
        """Wait until no thread works on a chunk, so that nothing uses model or VAE."""
        self._pipeline.settle()

    def finish(self) -> None:
        """Wait until every chunk is in the file and announced."""
        self._pipeline.close()
        self.look()

    def state(self) -> StoryState:
        """Where the story stands, once it is finished: gigabytes, which are copied off the device."""
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
            frames, carry = self._side.run(
                lambda z: (PinnedFrames(self._decoder.decode_on_device(z)), self._carry(sampled)), sampled.latents
            )
            return _Decoded(sampled, frames, carry)
        frames = to_uint8(self._decoder.decode(sampled.latents))
        return _Decoded(sampled, frames, self._carry(sampled))

    def _carry(self, sampled: _Sampled) -> dict[str, Tensor] | None:
        return None if sampled.after is None or sampled.after.moment is None else self._decoder.state()

    def _decode_in_thread(self, sampled: _Sampled) -> _Decoded:
        with self._stop.heeded():
            return self._decode(sampled)

    def _encode(self, decoded: _Decoded) -> _Encoded:
        frames = decoded.frames if isinstance(decoded.frames, Tensor) else decoded.frames.wait()
        sampled = decoded.sampled
        if sampled.starts:
            self._end_part(sampled.before, None)
        self._writer.write(frames)
        self._writer.tag(sampled.tags)
        self._watch(sampled.chunk.index, frames)
        thumbnail = data_url(picture_of(frames[0]))
        if self._kept is not None:
            self._small.append(thumbnail)
        if sampled.ends:
            self._end_part(sampled.after, decoded.carry)
        return _Encoded(decoded.sampled.chunk, thumbnail, picture_of(frames[-1]))

    def _end_part(self, part: EndedPart | None, carry: dict[str, Tensor] | None) -> None:
        # always, kept or not: the file of a story does not depend on that
        film = self._writer.end_part()
        small, self._small = self._small, []
        if part is not None and self._kept is not None:
            self._kept.put(part, film, carry, small)

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
            self._run.announce(encoded.chunk, encoded.thumbnail, encoded.newest)


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
