"""MemFlow Tiny Story Model: everything a graph needs, with no download."""

from __future__ import annotations

from comfy_api.latest import io

from ..memflow_core import tiny_story
from ..memflow_core.tiny_text import read_text_encoder
from ..memflow_core.weights import read_generator
from . import host
from .io_types import CATEGORY


class MemFlowTinyStory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowTinyStory",
            display_name="MemFlow Tiny Story Model",
            category=CATEGORY,
            description="A model, text encoder and VAE of a few megabytes that come with this pack: they run on a CPU "
            "in seconds and show how MemFlow works, through the same nodes as the real weights.",
            search_aliases=["example", "demo", "test model", "toy", "load model"],
            inputs=[],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The generator, in place of the 1.3B weights. It makes pictures of 64 x 64 pixels, at 16 "
                    "video frames a second.",
                ),
                io.Clip.Output(
                    display_name="clip",
                    tooltip="The text encoder, in place of umt5-xxl. It knows only the words of the tiny stories, and "
                    "names any other in its error.",
                ),
                io.Vae.Output(
                    display_name="vae",
                    tooltip="The VAE, in place of that of Wan 2.1. It is much smaller, and only for this model.",
                ),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        generator = read_generator(tiny_story.ASSETS / tiny_story.GENERATOR)
        encoder = read_text_encoder(tiny_story.ASSETS / tiny_story.TEXT)
        return io.NodeOutput(
            host.wan_model(generator, "default"),
            host.text_encoder(encoder),
            host.vae_from_file(tiny_story.ASSETS / tiny_story.VAE),
        )
