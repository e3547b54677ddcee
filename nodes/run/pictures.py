"""States that begin with pictures: a story's first frames, and frames for its memory bank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...memflow_core.config import MAX_BANK_FRAMES, LatentShape
from ...memflow_core.schedule import ChunkGrid
from ...memflow_core.stream import EncodedImages, InitialFrames
from .. import host
from ..report import data_url, picture_of
from .start_state import StoryState

CHUNKS_OF_3 = ChunkGrid()
MOST_PICTURES = 128  # small ones of a start, to be shown


def start_from_pictures(
    vae: Any,
    conditioning: list,
    images: Any,
    *,
    width: int,
    height: int,
    length: int,
    fps: float,
    model: Any = None,
) -> StoryState:
    """A state whose story begins with a picture or a clip.

    vae           a Wan `VAE`.
    conditioning  a `CONDITIONING` of one prompt, which describes the pictures.
    images        an `IMAGE` [F, H, W, 3 or 4] from 0 to 1, or a `VIDEO`, which is read at `fps`.
    length        most video frames that are used, from the end.
    model         the `MODEL` that is to go on from them, whose chunks they fill; None: chunks of 3 latent frames.

    Raises ValueError for a size off the grid, another VAE, or pictures that are none.
    """
    _check_vae_and_size(vae, width, height)
    spoken = host.read_conditioning(conditioning)
    pictures = images if isinstance(images, Tensor) else host.video_pictures(images, fps, length)
    grid = CHUNKS_OF_3 if model is None else ChunkGrid(host.profile_of(model).profile.sampling.chunk_frames)
    fitted = host.fit_pictures(on_grid(checked_pictures(pictures), length, grid), width, height)
    start = EncodedImages(host.encode_pictures(vae, fitted), spoken.embedding)
    firsts = [grid.start_px(chunk) for chunk in range(grid.chunks_for_px(len(fitted)))]
    shown = {chunk: data_url(picture_of(fitted[px])) for chunk, px in enumerate(firsts[:MOST_PICTURES])}
    return StoryState(None, initial=InitialFrames(start), unused=_unused(spoken), shown=shown)


def remember_pictures(
    vae: Any, conditioning: list, images: Tensor, *, width: int, height: int, state: StoryState | None
) -> StoryState:
    """A state, or a new one, with pictures for the memory bank, which keeps them for good.

    vae           a Wan `VAE`.
    conditioning  a `CONDITIONING` of one prompt, which describes the pictures.
    images        an `IMAGE` [N, H, W, 3 or 4] from 0 to 1; each is a picture of its own.

    Raises ValueError for a size off the grid, another VAE, pictures that are none, or more than a bank can hold.
    """
    _check_vae_and_size(vae, width, height)
    spoken = host.read_conditioning(conditioning)
    before = state or StoryState(None)
    pictures = checked_pictures(images)
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
    given = (*before.given, *(data_url(picture_of(picture)) for picture in fitted))
    return replace(before, initial=initial, unused=(*before.unused, *_unused(spoken)), given=given)


def _unused(spoken: host.Spoken) -> tuple[host.Finding, ...]:
    """What a prompt of pictures carries for nothing: pictures are read with the model's own weights."""
    hooks = () if spoken.hooks is None else (host.Finding(host.UNUSED, "hooks on the prompt of pictures"),)
    return (*spoken.unused, *hooks)


def on_grid(pictures: Tensor, most: int, grid: ChunkGrid = CHUNKS_OF_3) -> Tensor:
    """The newest of pictures [F, H, W, C] that fill whole chunks, at most `most`: 9, 21, 33 ... with chunks of 3.

    Of fewer than the first chunk has, the first picture is repeated.
    """
    chunks = max(1, grid.chunks_for_px(min(len(pictures), most) + 1) - 1)
    frames = grid.px_frames(chunks)
    missing = max(0, frames - len(pictures))
    return torch.cat((pictures[:1].expand(missing, -1, -1, -1), pictures[-frames:]))


def checked_pictures(pictures: Tensor, whose: str = "the pictures") -> Tensor:
    """Pictures [F, H, W, 3 or 4] as they are; raises ValueError, naming whose they are, for what is none."""
    shape = list(pictures.shape)
    if len(shape) != 4 or 0 in shape or shape[-1] not in (3, 4):
        raise ValueError(f"{whose} have shape {shape}, but must be [pictures, height, width, 3], at least one.")
    # one by one: a mask of numbers as large as all of them would double a long clip
    if not all(bool(torch.isfinite(picture).all()) for picture in pictures):
        raise ValueError(f"{whose} hold NaN or infinity, which is no colour: check the node that made them.")
    return pictures


def _check_vae_and_size(vae: Any, width: int, height: int) -> None:
    host.check_wan_vae(vae)
    LatentShape.of_picture(width, height, host.pixels_of_vae(vae))
