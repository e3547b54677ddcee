"""Light decoders: small networks that ComfyUI loads as a `VAE`."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.taesd.taehv import TAEHV, MemBlock, TGrow
from torch import nn

LIGHT_DECODER = "light decoder (lighttaew2_1): softer pictures"


def is_light(vae) -> bool:
    """Whether a `VAE` is a light decoder (TAEHV)."""
    return isinstance(getattr(vae, "first_stage_model", None), TAEHV)


@dataclass(frozen=True)
class LightLayer:
    """One layer of a light decoder.

    looks_back  whether it is called with what it was given for the frame before, too.
    grows       frames that become of one.
    channels    of a layer that looks back.
    scale       how much larger than the latents its input is.
    """

    module: nn.Module
    looks_back: bool
    grows: int
    channels: int
    scale: int


def light_layers(vae) -> list[LightLayer]:
    """The layers of a light decoder, in the order in which they run."""
    scale, layers = 1, []
    for module in vae.first_stage_model.decoder:
        back, grows = isinstance(module, MemBlock), isinstance(module, TGrow)
        channels = module.conv[0].in_channels // 2 if back else 0
        layers.append(LightLayer(module, back, module.stride if grows else 1, channels, scale))
        if isinstance(module, nn.Upsample):
            scale *= int(module.scale_factor)
    return layers
