"""The tiny VAE's convolutions and norms on a CPU, in a third of the time.

It has the Wan layout, whose kernels are 3 x 3 x 3, but for most of them only the last of the three taps over time is
not zero. torch multiplies by the zeros, and for so few channels does so without oneDNN. The length of a vector over
channels it takes number by number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from comfy.ldm.wan.vae import CausalConv3d, RMS_norm
from torch import Tensor, nn

LEAST_LENGTH = 1e-12  # that torch's `normalize` divides by


def speed_up_on_cpu(vae: nn.Module) -> None:
    """Let a Wan VAE from ComfyUI convolve picture by picture where it looks at one picture alone, on a CPU.

    Results are the same but for rounding. On other devices all is as it was.
    """
    for module in vae.modules():
        way = {CausalConv3d: _convolve, RMS_norm: _normalise}.get(type(module))
        if way is not None:
            module.forward = partial(way, module, module.forward)  # type: ignore[method-assign]


def _convolve(conv: CausalConv3d, as_comfy: Callable[..., Tensor], x: Tensor, *others: Any, **cached: Any) -> Tensor:
    """x [B, C, F, h, w] -> [B, C', F, h, w]; what came before x, in cache_list[cache_idx], is multiplied by zeros."""
    if others or cached.keys() not in (set(), {"cache_list", "cache_idx"}) or not _is_flat(conv, x):
        return as_comfy(x, *others, **cached)
    if cached:
        # taken, as ComfyUI takes it
        cached["cache_list"][cached["cache_idx"]] = None
    plane = conv.bias, conv.stride[1:], conv.padding[1:], conv.dilation[1:], conv.groups
    # each by itself: together they would be rounded otherwise for another number of them, and so for other chunks
    return torch.stack([F.conv2d(picture, conv.weight[:, :, -1], *plane) for picture in x.unbind(2)], dim=2)


def _is_flat(conv: CausalConv3d, x: Tensor) -> bool:
    weight, taps = conv.weight, conv.kernel_size[0]
    # as many pictures go out as in, of which each sees those before it
    causal = conv.stride[0] == conv.dilation[0] == 1 and conv._padding == taps - 1
    # weights that ComfyUI casts or patches as it goes are its own matter
    as_stored = not (conv.comfy_cast_weights or conv.weight_function or conv.bias_function)
    at_hand = x.device.type == weight.device.type == "cpu" and x.dtype == weight.dtype
    return causal and as_stored and at_hand and not bool(weight[:, :, :-1].any())


def _normalise(norm: RMS_norm, as_comfy: Callable[..., Tensor], x: Tensor) -> Tensor:
    """x over its channels, the first dimension after the batch, to a length of sqrt(channels), times gamma -> as x."""
    gamma = norm.gamma
    at_hand = x.device.type == gamma.device.type == "cpu" and x.dtype == gamma.dtype == torch.float32
    if not (at_hand and norm.channel_first and norm.bias is None):
        return as_comfy(x)
    shorter = x.square().sum(1, keepdim=True).clamp_min(LEAST_LENGTH**2).rsqrt()
    return x * shorter * (gamma * norm.scale)
