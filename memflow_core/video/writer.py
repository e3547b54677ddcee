"""Streaming video writer: frames in, mp4, webm or mkv out, with constant memory and nothing to lose.

While it is being written, `story.mp4` is called `story.unfinished.mp4`: a fragmented file that plays to the
end of the last `write`, whatever happens to the program. `close` makes a regular file of it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import torch
from torch import Tensor

from .audio import Sound, SoundEncoder
from .encoder import FrameEncoder, check_crf, choose_codec, frame_rate
from .hardware import quickest
from .mux import count_packets, finish, fragment
from .pixels import NAN, eight_bits


class VideoWriter:
    """Writes one video; as a context manager, it closes at the end, and aborts on an exception.

    path       .mp4, .webm or .mkv.
    fps        16, 23.976 (taken as 24000/1001), Fraction(30000, 1001) ... PyAV before 18 cannot name it in an mkv
               file, whose players then take it from the frames' times.
    codec      h264, h265, vp9 or av1; by default h264, and vp9 for webm.
    crf        quality, 0 (best) to 51 (vp9, av1: 63; smallest file); by default hard to tell from lossless.
    metadata   tags of the file, text by name. ComfyUI restores a graph from `workflow` and `prompt`.
    sound      goes along with the frames, from the first one on; what there is more of is left out, and behind its
               end there is silence. AAC in mp4 and mkv, Opus in webm.
    hardware   whether an encoder in hardware is taken where one passes its trial.

    `frames` counts the frames that are in the file; `encoder` names what encodes them, once there are any. Colours are
    BT.709, limited range, 4:2:0, and tagged so.
    No file that was there before is ever replaced.
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
        self._crf, self._hardware = check_crf(self._codec, crf), hardware
        self._metadata, self._late_metadata = _check_metadata(metadata or {}), {}
        self._encoder: FrameEncoder | None = None
        self._sound = None if sound is None else SoundEncoder(sound, self._container)
        self._sound_packets = 0
        self._file: io.FileIO | None = None
        self._fragments = self._bytes = 0
        self._broken = self._closed = False
        self._check_place()

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
    def encoder(self) -> str | None:
        return None if self._encoder is None else self._encoder.name

    def write(self, frames: Tensor | np.ndarray) -> None:
        """Append frames [F, H, W, 3]: uint8, or floating point from 0 to 1 (what lies outside is clipped).

        The first frames decide the size. When this returns, all frames are in the file.

        Raises ValueError for frames that do not fit, and OSError if they cannot be written, as on a full
        disk; the file then ends with the frames of the writes before, and takes no more.
        """
        if self._closed or self._broken:
            state = "broken off" if self._broken else "closed"
            raise ValueError(f"{self.path.name} is {state}: it takes no more frames.")
        pictures = _to_uint8(frames)
        if not len(pictures):
            return
        height, width = pictures.shape[1:3]
        if self._encoder is None:
            self._open(height, width)
        self._check_size(height, width)
        packets = [packet for picture in pictures for packet in self._encoder.encode(picture)]
        self._append(packets, self._sound.until((self.frames + len(packets)) / self.rate) if self._sound else [])

    def tag(self, metadata: Mapping[str, str]) -> None:
        """Add tags to those that the file has once it is closed or aborted: what is known only at the end."""
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
        self.unfinished.unlink()
        return self.path

    def abort(self) -> Path | None:
        """Stop. Returns the unfinished file, which holds what was written and plays; None if nothing was."""
        if self._closed:
            return None
        # the reason for stopping may be a full disk; as it is, the file plays too
        with suppress(OSError, av.FFmpegError):
            self._drain()
            if self.frames:
                self._finish(self.unfinished)
        if self.frames:
            return self.unfinished
        self._discard()
        return None

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

    def _open(self, height: int, width: int) -> None:
        size = (self._container, self.rate, self._crf, height, width)
        encoder = FrameEncoder(quickest(self._codec, *size) if self._hardware else self._codec, *size)
        # unbuffered, so that what is written here survives this program
        self._file = self.unfinished.open("xb", buffering=0)
        self._encoder = encoder

    def _check_size(self, height: int, width: int) -> None:
        stream = self._encoder.stream
        if (width, height) != (stream.width, stream.height):
            raise ValueError(
                f"the video is {stream.width} x {stream.height} pixels, but new frames are {width} x "
                f"{height}: all frames must have the size of the first."
            )

    def _append(self, packets: Sequence[av.Packet], sound: Sequence[av.Packet]) -> None:
        if not packets and not sound:
            return
        tracks = [(self._encoder.stream, packets)] + ([(self._sound.stream, sound)] if self._sound else [])
        data = fragment(tracks, self._container, self._fragments, self._metadata, self._sound_delay_s)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._broken = True
            # half a fragment would make players complain
            self._file.truncate(self._bytes)
            what = f"{self.path.name} could not be written past frame {self.frames} ({self._bytes} bytes)"
            raise self._failure(what, error) from error
        self.frames += len(packets)
        self._sound_packets += len(sound)
        self._fragments += 1
        self._bytes += len(data)

    def _drain(self) -> None:
        """Write what the encoder still holds, and close the file that grows."""
        self._closed = True
        if self._file is None:
            return
        with self._file:
            if not self._broken:
                packets = self._encoder.flush()
                end_s = (self.frames + len(packets)) / self.rate
                self._append(packets, self._sound.until(end_s) + self._sound.flush() if self._sound else [])

    def _finish(self, target: Path) -> None:
        draft = self.path.with_name(f".{self.path.stem}.finishing{self.path.suffix}")
        try:
            metadata = self._metadata | self._late_metadata
            finish(self.unfinished, draft, self._container, metadata, self.rate, self._sound_delay_s)
            # the unfinished file is about to go
            if count_packets(draft) != {"video": self.frames, "audio": self._sound_packets}:
                raise OSError("the copy is not complete")
            if target == self.path and target.exists():
                raise FileExistsError("a file of that name has appeared in the meantime")
            os.replace(draft, target)
        except (OSError, av.FFmpegError) as error:
            raise self._failure(f"{self.path.name} could not be finished", error) from error
        finally:
            draft.unlink(missing_ok=True)

    @property
    def _sound_delay_s(self) -> Fraction:
        return self._sound.delay_s if self._sound else Fraction(0)

    def _discard(self) -> None:
        if self._file is not None:
            self.unfinished.unlink(missing_ok=True)

    def _failure(self, what: str, error: Exception) -> OSError:
        reason = getattr(error, "strerror", None) or str(error)
        left = f"{self.unfinished.name} holds {self.frames} frames and plays" if self.frames else "nothing was kept"
        failure = OSError(f"{what}: {reason}; {left}.")
        failure.errno = getattr(error, "errno", None)
        return failure


def _check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not (isinstance(key, str) and key and isinstance(value, str)):
            raise ValueError(f"metadata must be text by name, but {key!r} is {type(value).__name__}: use json.dumps.")
    return dict(metadata)


def _to_uint8(frames: Tensor | np.ndarray) -> np.ndarray:
    """[F, H, W, 3] of any kind -> uint8 on the CPU."""
    frames = frames.detach() if isinstance(frames, Tensor) else torch.from_numpy(np.array(frames))
    if frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames have shape {list(frames.shape)}, but must be [frames, height, width, 3].")
    if frames.is_floating_point():
        if bool(torch.isnan(frames).any()):
            raise ValueError(NAN)
        frames = eight_bits(frames)
    if frames.dtype != torch.uint8:
        raise ValueError(f"frames are {frames.dtype}, but must be uint8, or floating point from 0 to 1.")
    return frames.cpu().contiguous().numpy()
