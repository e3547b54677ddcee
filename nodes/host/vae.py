"""Check the video autoencoder (VAE), and encode pictures with it."""

from __future__ import annotations

from typing import Any

import comfy.utils
import torch
from comfy.ldm.wan.vae import WanVAE
from comfy.ldm.wan.vae2_2 import WanVAE as Wan22VAE
from torch import Tensor

from .models import latent_channels_of
from .taehv import is_light

WANTED_VAE = "connect the Wan 2.1 VAE (16 latent channels), for example wan_2.1_vae.safetensors."
WANTED_22_VAE = "connect the Wan 2.2 VAE (48 latent channels), for example wan2.2_vae.safetensors."
PIXELS = {16: 8, 48: 16}


def check_wan_vae(vae: Any, channels: int = 16) -> None:
    """Raise ValueError unless a `VAE` is a Wan video autoencoder, which reads pictures too.

    channels  latent channels of the model, which decide the VAE that a message asks for.
    """
    network, wanted = getattr(vae, "first_stage_model", None), _wanted(channels)
    if network is None:
        raise ValueError(f"there is no VAE on the vae input: {wanted}")
    if is_light(vae):
        raise ValueError(f"the VAE is a light decoder, which is for making pictures; to read them, {wanted}")
    if not isinstance(network, (WanVAE, Wan22VAE)):
        raise ValueError(
            f"the VAE is a {type(network).__name__} with {vae.latent_channels} latent channels, which cannot decode "
            f"Wan video as a stream: {wanted}"
        )


def pixels_of_vae(vae: Any) -> int:
    """Pixels of the picture along a latent's side, for a `VAE` that `check_wan_vae` accepts."""
    return PIXELS.get(vae.latent_channels, 8)


def _wanted(channels: int) -> str:
    return WANTED_22_VAE if channels == 48 else WANTED_VAE


def check_stream_vae(vae: Any, model: Any) -> None:
    """Raise ValueError unless a `VAE`, or a light decoder in its place, can decode a `MODEL`'s latents as a stream."""
    light, channels = is_light(vae), latent_channels_of(model)
    wanted = _wanted(channels)
    if not light:
        check_wan_vae(vae, channels)
    if vae.latent_channels != channels:
        raise ValueError(f"the VAE has {vae.latent_channels} latent channels, but the model makes {channels}: {wanted}")
    # files for HunyuanVideo and for Wan 2.1 hold the same layers
    if light and vae.first_stage_model.latent_format is not None:
        raise ValueError(
            "the VAE is a light decoder in float16, which ComfyUI takes for HunyuanVideo's: connect lighttaew2_1, or "
            f"{WANTED_VAE}"
        )
    # of the Wan 2.2 VAE these are patches of 2 x 2 pixels
    if isinstance(vae.first_stage_model, WanVAE) and vae.conv_out_channels != 3:
        raise ValueError(f"the VAE makes pictures of {vae.conv_out_channels} channels, but video has 3: {wanted}")


def is_same_vae(one: Any, other: Any) -> bool:
    """Whether two `VAE`s are the same weights, loaded once."""
    return one.patcher is other.patcher


def vae_device(vae: Any) -> torch.device:
    """Device on which a `VAE` computes."""
    return vae.device


def count_vae_numbers(vae: Any) -> int:
    """How many numbers the weights of a `VAE` hold."""
    return sum(parameter.numel() for parameter in vae.first_stage_model.parameters())


def encode_pictures(vae: Any, pictures: Tensor) -> Tensor:
    """Encode consecutive pictures [F, H, W, 3] from 0 to 1: -> [1, C, 1 + (F - 1) / 4, h, w] float32 on the CPU."""
    with torch.no_grad():
        return vae.encode(pictures).float().cpu()


def fit_pictures(pictures: Tensor, width: int, height: int, method: str = "lanczos") -> Tensor:
    """Resize pictures [F, H, W, 3 or 4] to fill a size, and crop them at the centre: -> [F, height, width, 3].

    method  of ComfyUI's resizing.
    """
    pictures = pictures[..., :3]
    if pictures.shape[1:3] == (height, width):
        return pictures
    return comfy.utils.common_upscale(pictures.movedim(-1, 1), width, height, method, "center").movedim(1, -1)


def fit_mask(mask: Tensor, width: int, height: int) -> Tensor:
    """Resize masks [F, H, W] as `fit_pictures` does pictures: -> [F, height, width]."""
    if mask.shape[1:] == (height, width):
        return mask
    return comfy.utils.common_upscale(mask[:, None], width, height, "bilinear", "center")[:, 0]
