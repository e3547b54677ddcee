"""Light decoders: small networks (TAEHV) that ComfyUI loads as a `VAE`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfy.taesd.taehv import TAEHV, MemBlock, TGrow
from torch import nn

LIGHT_DECODER = "light decoder (lighttaew2_1): softer pictures"


@dataclass(frozen=True)
class LightLayer:
    """One layer of a light decoder.

    looks_back  whether it is called with its input for the frame before, too.
    grows       frames that become of one.
    channels    input channels of a layer that looks back, else 0.
    scale       how much larger than the latents its input is.
    """

    module: nn.Module
    looks_back: bool
    grows: int
    channels: int
    scale: int


def is_light(vae: Any) -> bool:
    """Whether a `VAE` is a light decoder (TAEHV)."""
    return isinstance(getattr(vae, "first_stage_model", None), TAEHV)


def light_layers(vae: Any) -> list[LightLayer]:
    """The layers of a light decoder, in the order in which they run."""
    scale = 1
    layers = []
    for module in vae.first_stage_model.decoder:
        kind = type(module)
        layers.append(
            LightLayer(
                module,
                looks_back=issubclass(kind, MemBlock),
                grows=module.stride if issubclass(kind, TGrow) else 1,
                channels=module.conv[0].in_channels // 2 if issubclass(kind, MemBlock) else 0,
                scale=scale,
            )
        )
        if issubclass(kind, nn.Upsample):
            scale *= int(module.scale_factor)
    return layers


def patch_of(vae: Any) -> int:
    """Pixels along the side of a patch that a light decoder makes: 1, or 2 for Wan 2.2."""
    return vae.first_stage_model.patch_size


def frames_to_trim(vae: Any) -> int:
    """How many frames of the first latent frame are none of the video."""
    return vae.first_stage_model.frames_to_trim
