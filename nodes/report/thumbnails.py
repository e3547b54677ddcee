"""Small pictures of what was made, as text that a web page shows and JSON can hold."""

from __future__ import annotations

import base64
import io

from PIL import Image
from torch import Tensor

from ...memflow_core.video import round_colours

LARGEST = (128, 96)
JPEG_QUALITY = 75


def picture_of(frame: Tensor) -> Image.Image:
    """A decoded video frame [H, W, 3], floating point from 0 to 1 or uint8, as a picture."""
    pixels = round_colours(frame.detach()) if frame.is_floating_point() else frame
    return Image.fromarray(pixels.cpu().numpy())


def data_url(picture: Image.Image) -> str:
    """A JPEG of at most LARGEST pixels, as a data URL."""
    small = picture.convert("RGB")
    small.thumbnail(LARGEST)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
