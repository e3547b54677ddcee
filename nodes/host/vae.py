"""Check the video autoencoder (VAE), and encode pictures with it."""

from __future__ import annotations

from typing import Any

import comfy.utils
import torch
from comfy.ldm.wan.vae import WanVAE
from torch import Tensor

from .models import latent_channels_of
from .taehv import is_light

WANTED_VAE = "connect the Wan 2.1 VAE (16 latent channels), for example wan_2.1_vae.safetensors."


def check_wan_vae(vae: Any) -> None:
    """Raise ValueError unless a `VAE` is a Wan 2.1 video autoencoder, which reads pictures too."""
    network = getattr(vae, "first_stage_model", None)
    if network is None:
        raise ValueError(f"there is no VAE on the vae input: {WANTED_VAE}")
    if is_light(vae):
        raise ValueError(f"the VAE is a light decoder, which is for making pictures; to read them, {WANTED_VAE}")
    if not isinstance(network, WanVAE):
        raise ValueError(
            f"the VAE is a {type(network).__name__} with {vae.latent_channels} latent channels, which cannot decode "
            f"Wan 2.1 video as a stream: {WANTED_VAE}"
        )


def check_stream_vae(vae: Any, model: Any) -> None:
    """Raise ValueError unless a `VAE`, or a light decoder in its place, can decode a `MODEL`'s latents as a stream."""
    light = is_light(vae)
    if not light:
        check_wan_vae(vae)
    channels = latent_channels_of(model)
    if vae.latent_channels != channels:
        raise ValueError(
            f"the VAE has {vae.latent_channels} latent channels, but the model makes {channels}: {WANTED_VAE}"
        )
    # files for HunyuanVideo and for Wan 2.1 hold the same layers
    if light and vae.first_stage_model.latent_format is not None:
        raise ValueError(
            "the VAE is a light decoder in float16, which ComfyUI takes for HunyuanVideo's: connect lighttaew2_1, or "
            f"{WANTED_VAE}"
        )
    if not light and vae.conv_out_channels != 3:
        raise ValueError(f"the VAE makes pictures of {vae.conv_out_channels} channels, but video has 3: {WANTED_VAE}")


def vae_device(vae: Any) -> torch.device:
    """Device on which a `VAE` computes."""
    return vae.device


def count_vae_numbers(vae: Any) -> int:
    """How many numbers the weights of a `VAE` hold."""
    return sum(parameter.numel() for parameter in vae.first_stage_model.parameters())


def encode_pictures(vae: Any, pictures: Tensor) -> Tensor:
    """Encode consecutive pictures [F, H, W, 3] from 0 to 1: -> [1, C, 1 + (F - 1) / 4, H / 8, W / 8] float32, CPU."""
    with torch.no_grad():
        return vae.encode(pictures).float().cpu()


def fit_pictures(pictures: Tensor, width: int, height: int) -> Tensor:
    """Resize pictures [F, H, W, 3 or 4] to fill a size, and crop them at the centre: -> [F, height, width, 3]."""
    pictures = pictures[..., :3]
    if pictures.shape[1:3] == (height, width):
        return pictures
    return comfy.utils.common_upscale(pictures.movedim(-1, 1), width, height, "lanczos", "center").movedim(1, -1)
