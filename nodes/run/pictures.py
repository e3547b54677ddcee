"""States that begin with pictures: a story's first frames, and frames for its memory bank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...memflow_core.config import MAX_BANK_FRAMES
from ...memflow_core.schedule import ChunkGrid
from ...memflow_core.stream import EncodedImages, InitialFrames
from .. import host
from .start_state import StoryState

GRID = ChunkGrid()


def start_from_pictures(
    vae: Any, conditioning: list, images: Any, *, width: int, height: int, length: int, fps: float
) -> StoryState:
    """A state whose story begins with a picture or a clip.

    vae           a Wan 2.1 `VAE`.
    conditioning  a `CONDITIONING` of one prompt, which describes the pictures.
    images        an `IMAGE` [F, H, W, 3 or 4] from 0 to 1, or a `VIDEO`, which is read at `fps`.
    length        most video frames that are used, from the end.

    Raises ValueError for a size off the grid, another VAE, or pictures that are none.
    """
    _check_vae_and_size(vae, width, height)
    spoken = host.read_conditioning(conditioning)
    pictures = images if isinstance(images, Tensor) else host.video_pictures(images, fps, length)
    fitted = host.fit_pictures(on_grid(_checked(pictures), length), width, height)
    start = EncodedImages(host.encode_pictures(vae, fitted), spoken.embedding)
    return StoryState(None, initial=InitialFrames(start), unused=_unused(spoken))


def remember_pictures(
    vae: Any, conditioning: list, images: Tensor, *, width: int, height: int, state: StoryState | None
) -> StoryState:
    """A state, or a new one, with pictures for the memory bank, which keeps them for good.

    vae           a Wan 2.1 `VAE`.
    conditioning  a `CONDITIONING` of one prompt, which describes the pictures.
    images        an `IMAGE` [N, H, W, 3 or 4] from 0 to 1; each is a picture of its own.

    Raises ValueError for a size off the grid, another VAE, pictures that are none, or more than a bank can hold.
    """
    _check_vae_and_size(vae, width, height)
    spoken = host.read_conditioning(conditioning)
    before = state or StoryState(None)
    pictures = _checked(images)
    remembered = len(pictures) + before.initial.remembered_frames
    if remembered > MAX_BANK_FRAMES:
        raise ValueError(
            f"{remembered} pictures are to be remembered, but no bank holds more than {MAX_BANK_FRAMES}: remember "
            f"fewer."
        )
    fitted = host.fit_pictures(pictures, width, height)
    # one by one, since a VAE encodes pictures together as the frames of one clip
    latents = torch.cat([host.encode_pictures(vae, picture[None]) for picture in fitted], dim=2)
    remember = EncodedImages(latents, spoken.embedding)
    initial = replace(before.initial, remembered=(*before.initial.remembered, remember))
    return replace(before, initial=initial, unused=(*before.unused, *_unused(spoken)))


def _unused(spoken: host.Spoken) -> tuple[host.Finding, ...]:
    """What a prompt of pictures carries for nothing: pictures are read with the model's own weights."""
    hooks = () if spoken.hooks is None else (host.Finding(host.UNUSED, "hooks on the prompt of pictures"),)
    return (*spoken.unused, *hooks)


def on_grid(pictures: Tensor, most: int) -> Tensor:
    """The newest 9, 21, 33 ... of pictures [F, H, W, C], at most `most`. Of fewer than 9, the first is repeated."""
    chunks = max(1, GRID.chunks_for_px(min(len(pictures), most) + 1) - 1)
    frames = GRID.px_frames(chunks)
    missing = max(0, frames - len(pictures))
    return torch.cat((pictures[:1].expand(missing, -1, -1, -1), pictures[-frames:]))


def _checked(pictures: Tensor) -> Tensor:
    shape = list(pictures.shape)
    if len(shape) != 4 or shape[0] == 0 or shape[-1] not in (3, 4):
        raise ValueError(f"the pictures have shape {shape}, but must be [pictures, height, width, 3], at least one.")
    if not bool(torch.isfinite(pictures).all()):
        raise ValueError("the pictures hold NaN or infinity, which is no colour: check the node that made them.")
    return pictures


def _check_vae_and_size(vae: Any, width: int, height: int) -> None:
    host.check_wan_vae(vae)
    if width % 16 or height % 16:
        raise ValueError(f"the picture is {width} x {height} pixels, but both must be multiples of 16.")
