"""MemFlow Start Images and MemFlow Remember Images: begin a story with pictures, or put them into its memory bank."""

from __future__ import annotations

from comfy_api.latest import io

from .io_types import CATEGORY, StateType
from .run import StoryState, remember_pictures, start_from_pictures

VAE = (
    "The Wan 2.1 VAE (Wan 2.2's for 5B models), by Load VAE, which reads the pictures. It must be the one that the "
    "video is decoded with."
)


def _size_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            name,
            default=size,
            min=16,
            max=8192,
            step=16,
            tooltip=f"{name.capitalize()} of the story in pixels, a multiple of 16 (32 for 5B models): {size} "
            "(default), or what the sampler is set to. Pictures are resized to fill it, and what stands out is "
            "cropped evenly on both sides.",
        )
        for name, size in (("width", 832), ("height", 480))
    ]


def _clip_input() -> io.MultiType.Input:
    return io.MultiType.Input(
        "images",
        types=[io.Image, io.Video],
        tooltip="IMAGE or VIDEO. One picture is held for 9 video frames: a still start. Of a clip, the "
        "newest 9, 21, 33 ... frames count, as many as there are and length allows; one of fewer than 9 "
        "holds its first frame.",
    )


def _length_inputs() -> list[io.Input]:
    return [
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
                _clip_input(),
                *_size_inputs(),
                *_length_inputs(),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that goes on from the pictures, which fill whole chunks of it. Without it: 9, "
                    "21, 33 ... frames, right for most models; frame-wise ones take 1, 5, 9 ..., LongLive 2 29, 61 ...",
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
    def execute(
        cls, vae, conditioning, images, width: int, height: int, length: int, fps: float, model=None
    ) -> io.NodeOutput:
        size = {"width": width, "height": height, "length": length, "fps": fps}
        return io.NodeOutput(start_from_pictures(vae, conditioning, images, **size, model=model))


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
        return io.NodeOutput(remember_pictures(vae, conditioning, images, width=width, height=height, state=state))
