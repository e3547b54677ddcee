"""MemFlow Load Model and MemFlow Tiny Story Model: files that no stock loader reads, as ordinary `MODEL`s."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from comfy_api.latest import io

from ..memflow_core.profiles import AUTO, PROFILES, Picked, Signs, pick, signs_of_name
from ..memflow_core.weights import (
    ASSETS,
    TINY_GENERATOR,
    TINY_TEXT,
    TINY_VAE,
    GeneratorWeights,
    Lora,
    quantised,
    read_generator,
    read_lora,
    read_text_encoder,
)
from . import host
from .inputs import profile_input
from .io_types import CATEGORY
from .run import profile_lines

NO_LORA = "none"
FP8 = "fp8"
DTYPES = ("default", "bf16", "fp16", "fp32", FP8)
WHICH = ("auto", "generator", "generator_ema")


def _file_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "model_name",
            options=host.model_files("diffusion_models"),
            tooltip="The generator's file, from models/diffusion_models: .pt or .safetensors, of a Wan "
            "text-to-video layout (1.3B, 5B, 14B). It is read as plain numbers: nothing in a .pt file is ever "
            "executed. Press R to refresh the list.",
        ),
        io.Combo.Input(
            "lora_name",
            options=[NO_LORA, *host.model_files("loras")],
            default=NO_LORA,
            tooltip="The LoRA published with the weights (lora.pt of MemFlow or LongLive), from models/loras. "
            "none (default): the weights alone. Further LoRAs go into ComfyUI's own LoRA loader behind this "
            "node.",
        ),
    ]


def _lora_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "lora_strength",
            default=1.0,
            min=-10.0,
            max=10.0,
            step=0.01,
            tooltip="How strongly the LoRA is applied, from -10 to 10. 1 (default) is what it was trained for; "
            "0 leaves it out. Change it only to compare.",
        ),
        io.Float.Input(
            "lora_alpha",
            default=0.0,
            min=0.0,
            max=65536.0,
            step=1.0,
            advanced=True,
            tooltip="The LoRA's scale: it counts alpha / rank times. 0 (default) takes the file's alpha, or "
            "the rank where it has none, as published. Set it only if the LoRA's authors name another.",
        ),
    ]


def _weight_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "weights",
            options=list(WHICH),
            default="auto",
            advanced=True,
            tooltip="Which weights of a training checkpoint to use. auto (default): the generator, or its "
            "running average (generator_ema) where there is no other. Choose one by name if its authors do.",
        ),
        io.Combo.Input(
            "weight_dtype",
            options=list(DTYPES),
            default="default",
            advanced=True,
            tooltip="Precision the weights are kept in. default: bf16, as the weights were trained, where your "
            "device computes in it, else what it can. bf16 and "
            "fp16 take half the memory of fp32, which is only for comparing numbers. fp8: the blocks' matrices "
            "take half of bf16, for cards of 8 GB, with the LoRA merged before; pictures come out a little "
            "different.",
        ),
    ]


class MemFlowLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowLoadModel",
            display_name="MemFlow Load Model",
            category=CATEGORY,
            description="Loads the published checkpoints of streaming Wan models (MemFlow, LongLive, Self-Forcing, "
            "Causal Forcing and others, .pt or .safetensors) and the LoRA that goes with them. Files that ComfyUI "
            "reads itself work with its own loaders just as well.",
            search_aliases=["load diffusion model", "checkpoint", "base.pt", "lora.pt", "self forcing", "longlive"],
            inputs=[*_file_inputs(), *_lora_inputs(), *_weight_inputs(), profile_input()],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="An ordinary MODEL: connect to a MemFlow sampler, by way of LoRA and attention nodes if "
                    "you like.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, model_name, lora_name, lora_strength, lora_alpha, weights, weight_dtype, profile=AUTO
    ) -> io.NodeOutput:
        lora_name = "" if lora_name == NO_LORA else lora_name
        # by the names alone, before anything is loaded
        averaged = pick(signs_of_name(model_name, lora_name)).profile.averaged if profile == AUTO else False
        lora_file = host.model_path("loras", lora_name) if lora_name else None
        lora = None if lora_file is None else read_lora(lora_file)
        file = host.model_path("diffusion_models", model_name)

        def read() -> GeneratorWeights:
            return read_generator(file, which=weights, averaged=averaged)

        generator = read()
        if lora is not None:
            lora.check_fits(generator.state_dict)
        sizes, metadata = generator.config, generator.metadata
        signs = Signs(model_name, metadata, sizes.dim, sizes.in_channels, lora_name)
        picked = pick(signs, profile)
        host.show_on_node("\n".join(map(str, profile_lines(picked))))
        if weight_dtype == FP8:

            def again() -> GeneratorWeights:
                # read anew, or a LoRA would stay in RAM as long as the model
                lora = None if lora_file is None else read_lora(lora_file)
                return _in_fp8(read(), lora, lora_strength, lora_alpha)

            model = host.wan_model(_in_fp8(generator, lora, lora_strength, lora_alpha), "default", again)
            return io.NodeOutput(host.with_profile(model, picked))
        model = host.wan_model(generator, weight_dtype, read)
        if lora is not None:
            model = host.with_lora(model, lora.to_comfy_keys(lora_alpha or None), lora_strength)
        return io.NodeOutput(host.with_profile(model, picked))


def _in_fp8(generator: GeneratorWeights, lora: Lora | None, strength: float, alpha: float) -> GeneratorWeights:
    """A generator with its LoRA merged, if there is one, and the blocks' matrices in FP8."""
    merged = generator.state_dict if lora is None else lora.merge(generator.state_dict, strength, alpha or None)
    return replace(generator, state_dict=quantised(merged))


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
        encoder = partial(read_text_encoder, ASSETS / TINY_TEXT)
        picked = Picked(PROFILES["Tiny story model"], "name")
        return io.NodeOutput(
            host.with_profile(host.wan_model(_tiny_generator(), "default", _tiny_generator), picked),
            host.text_encoder(encoder),
            host.vae_from_file(ASSETS / TINY_VAE),
        )


def _tiny_generator() -> GeneratorWeights:
    return read_generator(ASSETS / TINY_GENERATOR)
