"""Read the pictures of a `VIDEO`, as it was trimmed and cropped on its way here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from comfy_api.latest import InputImpl
from PIL import Image
from torch import Tensor

from ...memflow_core.keep import Fingerprint


def video_pictures(video: Any, fps: float, most: int) -> Tensor:
    """The last pictures of a `VIDEO` resampled to `fps`, at most `most` of them: [F, H, W, 3] float32 from 0 to 1."""
    seconds = most / fps
    # only what is needed is decoded, where the video is a file
    if isinstance(video, InputImpl.VideoFromFile) and (length := video.get_duration()) > seconds + 1:
        video = video.as_trimmed(length - seconds - 1, seconds + 1, strict_duration=False)
    parts = video.get_components()
    step = max(float(parts.frame_rate) / fps, 1e-6)
    count = min(most, int((len(parts.images) - 1) / step) + 1)
    return parts.images[[len(parts.images) - 1 - round(number * step) for number in reversed(range(count))]]


def video_frames(video: Any) -> Iterator[tuple[int, Image.Image | Tensor]]:
    """Frames of a `VIDEO` with their number in it: a picture each, or [H, W, 3] from 0 to 1.

    One is in memory at a time, unless the video is cropped: then ComfyUI itself has to decode it, as a whole.
    Raises ValueError for a file that cannot be read.
    """
    source = video.get_stream_source()  # a path, or a file in memory
    with _told_if_broken(), av.open(source) as file:
        stream = file.streams.video[0]
        if _is_cropped(video, stream):
            yield from enumerate(video.get_components().images)
            return
        start, end = _window(video, stream.time_base or 1)
        number = 0
        for frame in file.decode(stream):
            place = frame.pts or 0
            if place < start:
                continue
            if end is not None and place >= end:
                return
            yield number, _upright(frame)
            number += 1


def _upright(frame: av.VideoFrame) -> Image.Image:
    """A frame as players show it: clips of phones lie on their side, and say so."""
    turns = round(frame.rotation / 90) % 4
    picture = frame.to_image()
    return picture.transpose(_TURNS[turns - 1]) if turns else picture


# counterclockwise, as PyAV counts
_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


@contextmanager
def _told_if_broken() -> Iterator[None]:
    """Turn what a decoder says of a broken file into a ValueError."""
    try:
        yield
    # without pictures in it, a file has no first stream of them
    except (FFmpegError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it holds no pictures"
        raise ValueError(f"the video cannot be read ({reason}): connect one that plays.") from error


def _window(video: Any, time_base: Any) -> tuple[int, int | None]:
    """First and last timestamp of the part that a `VIDEO` was trimmed to, in units of its stream, as ComfyUI counts."""
    read = getattr(video, "get_active_trim_window", None)
    if read is None:
        return 0, None
    start, duration = read()
    return int(start / time_base), int((start + duration) / time_base) if duration else None


def _is_cropped(video: Any, stream: Any) -> bool:
    """Whether a `VIDEO` shows less than its file, whichever way up that is."""
    read = getattr(video, "get_dimensions", None)
    return read is not None and sorted(read()) != sorted((stream.width, stream.height))


class VideoReader:
    """Reads a `VIDEO` from front to back at a frame rate of one's own, with one of its frames in memory at a time.

    A video that is no file lies in memory as a whole before it gets here.

    fps  what it is read at: frames are repeated or left out, none is mixed.
    """

    def __init__(self, video: Any, fps: float):
        self._video = video
        self._fps = fps
        self._frames: Iterator[tuple[int, Image.Image | Tensor]] = iter(())
        self._number = -1
        self._picture: Image.Image | Tensor | None = None
        self._images: Tensor | None = None
        self._step: float | None = None

    def read(self, first: int, count: int) -> Tensor:
        """Pictures [n, H, W, 3] float32 from 0 to 1, from number `first` on; fewer than `count` at the end.

        Raises ValueError for a file that cannot be read.
        """
        if self._step is None:
            self._open()
        assert self._step is not None, "known from here on"
        wanted = [int(number * self._step + 0.5) for number in range(first, first + count)]
        if self._images is not None:
            return self._images[[number for number in wanted if number < len(self._images)]][..., :3]
        if wanted and (self._picture is None or wanted[0] < self._number):
            self._frames, self._number = video_frames(self._video), -1
        made = []
        for number in wanted:
            while self._number < number:
                found = next(self._frames, None)
                if found is None:
                    return _stacked(made)
                self._number, self._picture = found
            assert self._picture is not None, "there is one behind the first"
            made.append(_as_tensor(self._picture))
        return _stacked(made)

    def _open(self) -> None:
        if isinstance(self._video, InputImpl.VideoFromFile):
            rate = _frame_rate(self._video)
        else:
            parts = self._video.get_components()
            self._images, rate = parts.images, float(parts.frame_rate)
        self._step = max(rate / self._fps, 1e-6)


def video_identity(video: Any) -> str:
    """What tells a `VIDEO` from others: its file's name, size and time, or its numbers; and how it is trimmed."""
    found = Fingerprint()
    if not isinstance(video, InputImpl.VideoFromFile):
        parts = video.get_components()
        found.add("pictures", parts.images)
        found.add("rate", float(parts.frame_rate))
        return found.hex()
    source = video.get_stream_source()
    if isinstance(source, str):
        status = os.stat(source)
        found.add("file", [source, status.st_size, status.st_mtime_ns])
    else:
        found.add("file", hashlib.sha256(source.getbuffer()).hexdigest())
    trim = getattr(video, "get_active_trim_window", None)
    found.add("trim", None if trim is None else list(map(float, trim())))
    found.add("size", list(video.get_dimensions()))
    return found.hex()


def _frame_rate(video: Any) -> float:
    with _told_if_broken(), av.open(video.get_stream_source()) as file:
        return float(file.streams.video[0].average_rate or file.streams.video[0].guessed_rate or 16)


def _as_tensor(picture: Image.Image | Tensor) -> Tensor:
    if isinstance(picture, Tensor):
        return picture[..., :3].float()
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).float() / 255


def _stacked(pictures: list[Tensor]) -> Tensor:
    return torch.stack(pictures) if pictures else torch.empty(0, 1, 1, 3)
