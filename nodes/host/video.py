"""Read the pictures of a `VIDEO`, as it was trimmed and cropped on its way here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
from av.error import FFmpegError
from comfy_api.latest import InputImpl
from PIL import Image
from torch import Tensor


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
            yield number, frame.to_image()
            number += 1


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
