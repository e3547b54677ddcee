"""MemFlow Start Images and Remember Images: stories that begin with pictures, or know them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..memflow_core.config import MAX_BANK_FRAMES
from ..memflow_core.schedule import ChunkGrid
from ..memflow_core.stream import EncodedImages, InitialFrames
from . import host
from .host import embedding_of
from .io_types import CATEGORY, StateType
from .run import StoryState

GRID = ChunkGrid()
VAE = "The Wan 2.1 VAE, by Load VAE, which reads the pictures. It must be the one that the video is decoded with."


def _size_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            f"{name}",
            default=size,
            min=16,
            max=8192,
            step=16,
            tooltip=f"{name.capitalize()} of the story in pixels, a multiple of 16: {size} (default), or what the "
            "sampler is set to. Pictures are resized to fill it, and what stands out is cropped evenly on both sides.",
        )
        for name, size in (("width", 832), ("height", 480))
    ]


class MemFlowStartImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowStartImages",
            display_name="MemFlow Start Images",
            category=CATEGORY,
            description="Starts a story from a picture or a clip: the sampler goes on from it, and never forgets its "
            "beginning.",
            search_aliases=["image to video", "i2v", "first frame", "start image", "extend video", "video to video"],
            inputs=[
                io.Vae.Input("vae", tooltip=VAE),
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="What the pictures show: one prompt, from CLIP Text Encode. Usually that of the schedule's "
                    "first segment.",
                ),
                io.MultiType.Input(
                    "images",
                    types=[io.Image, io.Video],
                    tooltip="IMAGE or VIDEO. One picture is held for 9 video frames: a still start. Of a clip, the "
                    "newest 9, 21, 33 ... frames count, as many as there are and length allows; one of fewer than 9 "
                    "holds its first frame.",
                ),
                *_size_inputs(),
                io.Int.Input(
                    "length",
                    default=33,
                    min=9,
                    max=1_000_000,
                    step=12,
                    tooltip="Most video frames that are used, from the end of the clip: 9, 21, 33 (default) ...; "
                    "others are rounded down. With MemFlow's usual memory the next frames see the first 9 and the last "
                    "24, so more cost time and add little.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=1.0,
                    max=120.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Frames a second that a VIDEO is read at, from 1 to 120: as on the sampler, 16 (default) "
                    "for Wan 2.1. An IMAGE is taken frame by frame as it is.",
                ),
            ],
            outputs=[
                StateType.Output(
                    display_name="state",
                    tooltip="Connect to a sampler. The story's time starts with the pictures; the video that the "
                    "sampler makes starts right after them.",
                )
            ],
        )

    @classmethod
    def execute(cls, vae, conditioning, images, width: int, height: int, length: int, fps: float) -> io.NodeOutput:
        host.check_wan_vae(vae)
        _check_grid(width, height)
        text = embedding_of(conditioning)
        pictures = images if isinstance(images, Tensor) else host.video_pictures(images, fps, length)
        fitted = host.fit_pictures(on_grid(_checked(pictures), length), width, height)
        start = EncodedImages(host.encode_pictures(vae, fitted), text)
        return io.NodeOutput(StoryState(None, given=InitialFrames(start)))


class MemFlowRememberImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowRememberImages",
            display_name="MemFlow Remember Images",
            category=CATEGORY,
            description="Puts pictures into the memory bank, where they stay: characters or places that the story is "
            "to know, though it has never shown them.",
            search_aliases=["reference image", "character", "ip adapter", "subject", "memory bank", "pin"],
            inputs=[
                io.Vae.Input("vae", tooltip=VAE),
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="What the pictures show: one prompt, from CLIP Text Encode. For pictures of different "
                    "things, chain several of these nodes.",
                ),
                io.Image.Input(
                    "images",
                    tooltip="Each picture takes one place in the bank for the rest of the story. MemFlow Memory says "
                    "how many places there are (3, unless set otherwise): leave some for the story itself.",
                ),
                *_size_inputs(),
                StateType.Input(
                    "state",
                    optional=True,
                    tooltip="What the pictures are added to: another of these nodes, MemFlow Start Images, a sampler "
                    "or MemFlow Load State. Without it: a new story.",
                ),
            ],
            outputs=[
                StateType.Output(
                    display_name="state",
                    tooltip="A start with these pictures in memory: connect to the state input of a MemFlow sampler.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, vae, conditioning, images, width: int, height: int, state: StoryState | None = None
    ) -> io.NodeOutput:
        host.check_wan_vae(vae)
        _check_grid(width, height)
        text = embedding_of(conditioning)
        before = state or StoryState(None)
        pictures = _checked(images)
        if len(pictures) + before.given.remembered_frames > MAX_BANK_FRAMES:
            raise ValueError(
                f"{len(pictures) + before.given.remembered_frames} pictures are to be remembered, but no bank holds "
                f"more than {MAX_BANK_FRAMES}: remember fewer."
            )
        fitted = host.fit_pictures(pictures, width, height)
        latents = torch.cat([host.encode_pictures(vae, picture[None]) for picture in fitted], dim=2)
        given = replace(before.given, remembered=(*before.given.remembered, EncodedImages(latents, text)))
        return io.NodeOutput(replace(before, given=given))


def on_grid(pictures: Tensor, most: int) -> Tensor:
    """Pictures [F, H, W, C] -> the newest 9, 21, 33 ... of them, at most `most`; of fewer than 9, the first is held."""
    chunks = max(1, GRID.chunks_for_px(min(len(pictures), most) + 1) - 1)
    frames = GRID.px_frames(chunks)
    missing = max(0, frames - len(pictures))
    return torch.cat((pictures[:1].expand(missing, -1, -1, -1), pictures[-frames:]))


def _checked(pictures: Any) -> Tensor:
    shape = list(pictures.shape)
    if len(shape) != 4 or shape[0] == 0 or shape[-1] not in (3, 4):
        raise ValueError(f"the pictures have shape {shape}, but must be [pictures, height, width, 3], at least one.")
    if not bool(torch.isfinite(pictures).all()):
        raise ValueError("the pictures hold NaN or infinity, which is no colour: check the node that made them.")
    return pictures


def _check_grid(width: int, height: int) -> None:
    if width % 16 or height % 16:
        raise ValueError(f"the picture is {width} x {height} pixels, but both must be multiples of 16.")
