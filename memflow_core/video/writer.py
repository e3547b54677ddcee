"""Write a video as it is made: frames in, mp4, webm or mkv out, in constant memory.

    with VideoWriter("robot.mp4", fps=16) as video:
        video.write(frames)  # [F, H, W, 3]

While it is written, `robot.mp4` is called `robot.unfinished.mp4`: a file of fragments that plays to the end of the
last `write`, even if the program crashes. `close` makes a regular file of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.error import FFmpegError
from torch import Tensor

from ..disk import Draft, remove_stale_drafts
from .audio import Sound, SoundEncoder
from .choice import EncoderChoice
from .encoder import FrameEncoder, check_crf, choose_codec, frame_rate, media_type
from .growing import GrowingFile, LostFileError
from .mux import Track, count_packets, mux_fragment, remux, shift
from .parts import FilmPart, PartPacket, extradata_of, noted, packets_of
from .pixels import to_numpy


@dataclass
class _Output:
    """The encoder and the unfinished file, which the first frames open: they decide the size.

    start    frames of the file before the part under way.
    packets  of the part under way.
    ended    whether the encoder has ended; the next frames need a new one.
    """

    encoder: FrameEncoder
    file: GrowingFile
    start: int = 0
    packets: list[PartPacket] = field(default_factory=list)
    ended: bool = False


class VideoWriter:
    """Writes one video. As a context manager it closes at the end, and aborts on an exception.

    path       .mp4, .webm or .mkv.
    fps        16, 23.976 (taken as 24000/1001), Fraction(30000, 1001) ... PyAV before 18 cannot store it in an mkv
               file, whose players then take it from the frames' times.
    codec      h264, h265, vp9 or av1; by default h264, and vp9 for webm.
    crf        quality, 0 (best) to 51 (vp9, av1: 63; smallest file); by default hard to tell from lossless.
    metadata   tags of the file, text by name. ComfyUI restores a graph from `workflow` and `prompt`.
    sound      starts with the first frame, and is cut where the frames end; a shorter one is followed by silence. AAC
               in mp4 and mkv, Opus in webm.
    hardware   whether to use a hardware encoder if one passes its trial.

    frames     how many frames are in the file.
    encoder    libav's name of the encoder; None before the first frames.
    note       after `close`, a sentence on what stayed beside the file; None if nothing did.

    What was written is synced to the disk every few writes, and the finished file before the unfinished one goes.
    Drafts that killed programs have left in the folder are removed.
    Colours are BT.709, limited range, 4:2:0, and tagged so. A file that exists is never replaced.
    Raises ValueError, FileNotFoundError, FileExistsError or PermissionError before anything is written.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | Fraction = 16,
        *,
        codec: str | None = None,
        crf: float | None = None,
        metadata: Mapping[str, str] | None = None,
        sound: Sound | None = None,
        hardware: bool = False,
    ):
        self.path = Path(path)
        self.unfinished = self.path.with_name(f"{self.path.stem}.unfinished{self.path.suffix}")
        self.frames = 0
        self.rate = frame_rate(fps)
        self._container, self._codec = choose_codec(self.path.suffix, codec)
        self._encoders = EncoderChoice(
            self._codec,
            container=self._container,
            rate=self.rate,
            crf=check_crf(self._codec, crf),
            hardware=hardware,
        )
        self._metadata = _check_metadata(metadata or {})
        self._late_metadata: dict[str, str] = {}
        self._output: _Output | None = None
        self._sound = None if sound is None else SoundEncoder(sound, self._container)
        self._sound_packets = 0
        self._broken = False
        self._lost = False
        self._closed = False
        self.note: str | None = None
        self._check_place()
        remove_stale_drafts(self.path.parent)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def bytes(self) -> int:
        """How long the unfinished file is: whole fragments, which play while more are written. Any thread may ask."""
        return 0 if self._output is None else self._output.file.bytes

    @property
    def media_type(self) -> str | None:
        """Type of the unfinished file with its codecs (RFC 6381), for a player that takes fragments; None for mkv."""
        return media_type(self._container, self._codec, sound=self._sound is not None)

    @property
    def encoder(self) -> str | None:
        """libav's name of the encoder; None before the first frames."""
        return None if self._output is None else self._output.encoder.name

    def write(self, frames: Tensor | np.ndarray) -> None:
        """Append frames [F, H, W, 3]: uint8, or floating point from 0 to 1; values outside are clipped.

        The first frames decide the size. When this returns, all frames are in the file.

        Raises ValueError for frames of another shape, size or dtype and for NaN, and OSError if they cannot be
        written, as on a full disk, or if the file was moved or deleted meanwhile; the file then ends with the frames of
        the writes before, and takes no more.
        """
        if self._closed or self._broken:
            state = "broken off" if self._broken else "closed"
            raise ValueError(f"{self.path.name} is {state}: it takes no more frames.")
        pictures = to_numpy(frames)
        if not len(pictures):
            return
        height, width = pictures.shape[1:3]
        if self._output is None:
            self._output = self._open(height, width)
        output = self._output
        _check_size(output.encoder, height, width)
        if output.ended:
            output.encoder, output.ended = self._encoders.open(height, width), False
            output.encoder.learn(pictures)
        packets = [packet for picture in pictures for packet in output.encoder.encode(picture)]
        self._append_part(output, packets)

    def end_part(self) -> FilmPart | None:
        """End a part of the film: what follows is encoded by itself, whatever was before.

        Returns the part, for `write_part` of another film; None where it has no frames. Raises OSError as `write` does.
        """
        output = self._output
        if output is None or output.ended:
            return None
        self._append_part(output, output.encoder.flush())
        output.ended = True
        part = FilmPart(self.encoding(*self._size), extradata_of(output.encoder), tuple(output.packets))
        output.packets, output.start = [], self.frames
        return part

    def encoding(self, height: int, width: int) -> str:
        """What frames of this size are encoded with: films of the same encoding can share parts. Opens an encoder.

        Raises ValueError if the size cannot be encoded.
        """
        return self._encoders.digest(height, width)

    def write_part(self, part: FilmPart, height: int, width: int) -> None:
        """Append a part that another film of the same `encoding` has ended, without decoding it.

        Raises ValueError for a part of another encoding, or inside a part, and OSError as `write` does.
        """
        if part.encoding != self.encoding(height, width):
            raise ValueError(f"the part was encoded in another way than {self.path.name}: encode its frames again.")
        if self._output is None:
            self._output = self._open(height, width)
            self._output.ended = True
        output = self._output
        if not output.ended:
            raise ValueError("a part can follow only where a part has ended: call end_part first.")
        self._append_part(output, packets_of(part, self.rate))
        output.packets, output.start = [], self.frames

    def tag(self, metadata: Mapping[str, str]) -> None:
        """Add tags that are known only later; the file has them once it is closed or aborted."""
        self._late_metadata |= _check_metadata(metadata)

    def close(self) -> Path:
        """Finish the file and return its path.

        Raises ValueError if no frame was written (there is no file then), and OSError if the file cannot be
        finished; the unfinished one then holds all frames and plays.
        """
        if self._closed:
            return self.path
        self._drain()
        if not self.frames:
            self._discard()
            raise ValueError(f"no frames were written, so there is no {self.path.name}.")
        self._finish(self.path)
        self._remove_unfinished()
        return self.path

    def abort(self) -> Path | None:
        """Stop. Returns the unfinished file, which holds what was written and plays; None if nothing was."""
        if self._closed:
            return None
        # the reason for stopping may be a full disk; the unfinished file plays as it is, too
        with suppress(OSError, FFmpegError):
            self._drain()
            if self.frames:
                self._finish(self.unfinished)
        if not self.frames:
            self._discard()
            return None
        return None if self._lost else self.unfinished

    def _check_place(self) -> None:
        folder = self.path.parent
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder} to write {self.path.name} into.")
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"the folder {folder} does not let {self.path.name} be written into it.")
        if self.path.is_dir():
            raise ValueError(f"{self.path} is a folder, so no video can have that name.")
        for path in (self.path, self.unfinished):
            if path.exists():
                raise FileExistsError(f"{path.name} is there already in {folder}: move it away or choose another name.")

    def _open(self, height: int, width: int) -> _Output:
        return _Output(self._encoders.open(height, width), GrowingFile(self.unfinished))

    @property
    def _size(self) -> tuple[int, int]:
        assert self._output is not None, "asked for only where frames were written"
        return self._output.encoder.stream.height, self._output.encoder.stream.width

    def _append_part(self, output: _Output, packets: Sequence[av.Packet]) -> None:
        """Append packets of the part under way, whose times start with it."""
        output.packets += noted(packets, self.rate)
        for packet in packets:
            shift(packet, output.start / self.rate)
        self._append(output, packets, self._encode_sound(frames=len(packets)))

    def _encode_sound(self, *, frames: int) -> list[av.Packet]:
        """Packets of the sound up to the end of this many new frames; none in a silent video."""
        return [] if self._sound is None else self._sound.encode_until((self.frames + frames) / self.rate)

    def _append(self, output: _Output, packets: Sequence[av.Packet], sound_packets: Sequence[av.Packet]) -> None:
        if not packets and not sound_packets:
            return
        tracks = [Track(output.encoder.stream, packets)]
        if self._sound is not None:
            tracks.append(Track(self._sound.stream, sound_packets))
        fragment = mux_fragment(
            tracks,
            self._container,
            number=output.file.fragments,
            metadata=self._metadata,
            priming_s=self._priming_s,
        )
        with self._watched():
            output.file.append(fragment)
        self.frames += len(packets)
        self._sound_packets += len(sound_packets)

    def _drain(self) -> None:
        """Write what the encoders still hold, and close the unfinished file."""
        self._closed = True
        if self._output is None:
            return
        output = self._output
        try:
            if not self._broken:
                if not output.ended:
                    self._append_part(output, output.encoder.flush())
                if self._sound is not None:
                    self._append(output, [], self._sound.flush())
                with self._watched():
                    output.file.check()
        finally:
            with self._watched():
                output.file.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note that the file is broken off where a step fails, and say so in one sentence."""
        try:
            yield
        except OSError as error:
            self._broken = True
            self._lost = self._lost or isinstance(error, LostFileError)
            written = 0 if self._output is None else self._output.file.bytes
            what = f"{self.path.name} could not be written past frame {self.frames} ({written} bytes)"
            raise self._failure(what, error) from error

    def _finish(self, target: Path) -> None:
        """Make a regular file of the unfinished one, under a hidden name until it is complete and on the disk."""
        try:
            if self._lost:
                raise LostFileError("the unfinished file is gone")
            with Draft(self.path) as draft:
                remux(
                    self.unfinished,
                    draft.path,
                    container=self._container,
                    metadata=self._metadata | self._late_metadata,
                    rate=self.rate,
                    priming_s=self._priming_s,
                )
                # the unfinished file will be deleted
                if count_packets(draft.path) != {"video": self.frames, "audio": self._sound_packets}:
                    raise OSError("the copy is not complete")
                draft.finish(target, replace=target == self.unfinished)
        except (OSError, FFmpegError) as error:
            raise self._failure(f"{self.path.name} could not be finished", error) from error

    def _remove_unfinished(self) -> None:
        """Delete the unfinished file, whose frames are all in the finished one now."""
        try:
            self.unfinished.unlink(missing_ok=True)
        except OSError as error:
            # on Windows, a player that shows it
            self.note = (
                f"{self.path.name} is complete; {self.unfinished.name} could not be removed ({error.strerror}), so "
                f"both are there: delete it when no other program uses it."
            )

    @property
    def _priming_s(self) -> Fraction:
        return Fraction(0) if self._sound is None else self._sound.priming_s

    def _discard(self) -> None:
        """Delete the unfinished file, if it is this writer's."""
        if self._output is not None and not self._lost:
            with suppress(OSError):
                self.unfinished.unlink(missing_ok=True)

    def _failure(self, what: str, error: Exception) -> OSError:
        """An OSError that says what failed, why, and what is left."""
        reason = getattr(error, "strerror", None) or str(error)
        failure = OSError(f"{what}: {reason}; {self._left()}.")
        failure.errno = getattr(error, "errno", None)
        return failure

    def _left(self) -> str:
        """What there is of the video, and where."""
        if not self.frames:
            return "nothing was kept"
        if not self._lost and self.unfinished.exists():
            return f"{self.unfinished.name} holds {self.frames} frames and plays"
        return f"{self.unfinished.name}, with {self.frames} frames, is not there any more"


def _check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not (isinstance(key, str) and key and isinstance(value, str)):
            raise ValueError(f"metadata must be text by name, but {key!r} is {type(value).__name__}: use json.dumps.")
        # libav takes texts that end at the first NUL, and in UTF-8
        if "\0" in key + value or not _is_unicode(key + value):
            raise ValueError(f"the tag {key!r} holds a NUL or half a character, with which no file can keep it whole.")
    return dict(metadata)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_size(encoder: FrameEncoder, height: int, width: int) -> None:
    stream = encoder.stream
    if (width, height) != (stream.width, stream.height):
        raise ValueError(
            f"the video is {stream.width} x {stream.height} pixels, but new frames are {width} x "
            f"{height}: all frames must have the size of the first."
        )
