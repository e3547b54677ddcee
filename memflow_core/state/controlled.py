"""Check what a state file carries of a control: the frames that its two encoders look back at."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..config import LatentShape
from ..stream import CLIPS, CONTROL, INACTIVE, REACTIVE
from .values import FLOATS, check_finite, need

MOST_PARTS = 128
MOST_CHANNELS = 4096
MOST_FRAMES = 4
_NAME = re.compile(rf"{re.escape(CONTROL)}({'|'.join(CLIPS)})\.([a-z]+\.\d{{2,3}})")


def check_control(tensors: Mapping[str, Tensor], shape: LatentShape) -> set[str]:
    """The names of a control's tensors. Raises ValueError with what is wrong, as the end of a sentence.

    The two encoders of what steers have the same parts; the encoder itself checks the rest, before a run.
    """
    parts: dict[str, dict[str, Tensor]] = {clip: {} for clip in CLIPS}
    names = {name for name in tensors if name.startswith(CONTROL)}
    for name in names:
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"of its control nothing is known of {name[:40]!r}")
        parts[found[1]][found[2]] = _checked(name, tensors[name], shape)
    kept, made = parts[INACTIVE], parts[REACTIVE]
    most = max(map(len, parts.values()))
    need(most <= MOST_PARTS, f"its control carries {most} parts")
    alike = kept.keys() == made.keys() and all(kept[part].shape == made[part].shape for part in kept)
    need(alike, "the two encoders of its control carry other parts")
    return names


def _checked(name: str, tensor: Tensor, shape: LatentShape) -> Tensor:
    width, height = shape.picture
    sizes = list(tensor.shape)
    proper = tensor.ndim == 5 and tensor.dtype in FLOATS and 0 not in sizes
    need(proper, f"{name!r} has shape {sizes} and is {tensor.dtype}")
    batch, channels, frames, rows, columns = sizes
    within = batch == 1 and channels <= MOST_CHANNELS and frames <= MOST_FRAMES and rows <= height and columns <= width
    need(within, f"{name!r} has shape {sizes}, which is too much for a picture of {width} x {height}")
    check_finite(name, tensor)
    return tensor
