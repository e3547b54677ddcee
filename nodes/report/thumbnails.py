"""Pictures of video frames, and thumbnails as data URLs that JSON can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

from PIL import Image
from torch import Tensor

from ...memflow_core.video import round_colours
from .. import host

LARGEST = (128, 96)
JPEG_QUALITY = 75


def picture_of(frame: Tensor) -> Image.Image:
    """A picture of a decoded video frame [H, W, 3], floating point from 0 to 1 or uint8."""
    pixels = round_colours(frame.detach()) if frame.is_floating_point() else frame
    return Image.fromarray(pixels.cpu().numpy())


def data_url(picture: Image.Image) -> str:
    """A JPEG of at most LARGEST pixels, as a data URL."""
    small = picture.convert("RGB")
    small.thumbnail(LARGEST)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def frame_pictures(images: Any, frames: set[int], first_px: int) -> dict[int, Image.Image]:
    """Pictures of video frames of a story, by their number in the story.

    images    an `IMAGE` [F, H, W, 3 or 4] or a `VIDEO`, which starts with frame `first_px` of the story.
    frames    those that are wanted; a frame that `images` does not hold is left out.

    Raises ValueError for a `VIDEO` that cannot be read.
    """
    places = {frame - first_px: frame for frame in frames if frame >= first_px}
    if isinstance(images, Tensor):
        return {places[place]: picture_of(images[place][..., :3]) for place in places if place < len(images)}
    return {places[place]: picture for place, picture in _decoded(images, set(places))}


def _decoded(video: Any, places: set[int]) -> Iterator[tuple[int, Image.Image]]:
    """Frames of a video by their number in it, one in memory at a time."""
    if not places:
        return
    last = max(places)
    for place, frame in host.video_frames(video):
        if place in places:
            yield place, picture_of(frame[..., :3]) if isinstance(frame, Tensor) else frame
        if place >= last:
            return
