"""The tiny VAE's convolutions and norms on a CPU, in a third of the time.

It has the Wan layout, whose kernels are 3 x 3 x 3, but for most of them only the last of the three taps over time is
not zero. torch multiplies by the zeros, and for so few channels does so without oneDNN. The length of a vector over
channels it takes number by number.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from comfy.ldm.wan.vae import CausalConv3d, RMS_norm, ops
from torch import Tensor, nn

LEAST_LENGTH = 1e-12  # that torch's `normalize` divides by


def speed_up_on_cpu(vae: nn.Module) -> None:
    """Let a Wan VAE from ComfyUI convolve picture by picture where it looks at one picture alone, on a CPU.

    Results are the same but for rounding. On other devices all is as it was.
    """
    # classes, not functions on modules: whoever asks what a VAE computes finds code that is its class's own
    for module in vae.modules():
        if type(module) in _QUICK:
            module.__class__ = _QUICK[type(module)]


class QuickConv(CausalConv3d):
    """ComfyUI's, without what it multiplies by zero."""

    def forward(self, x: Tensor, *others: Any, **cached: Any) -> Tensor:
        """x [B, C, F, h, w] -> [B, C', F, h, w]; what came before x, in cache_list[cache_idx], meets zeros."""
        if others or cached.keys() not in (set(), {"cache_list", "cache_idx"}) or not self._is_flat(x):
            return super().forward(x, *others, **cached)
        if cached:
            # taken, as ComfyUI takes it
            cached["cache_list"][cached["cache_idx"]] = None
        plane = self.bias, self.stride[1:], self.padding[1:], self.dilation[1:], self.groups
        # each by itself: together they would be rounded otherwise for another number of them, and so for other chunks
        return torch.stack([F.conv2d(picture, self.weight[:, :, -1], *plane) for picture in x.unbind(2)], dim=2)

    def _is_flat(self, x: Tensor) -> bool:
        weight, taps = self.weight, self.kernel_size[0]
        # as many pictures go out as in, of which each sees those before it
        causal = self.stride[0] == self.dilation[0] == 1 and self._padding == taps - 1
        # weights that ComfyUI casts or patches as it goes are its own matter
        as_stored = not (self.comfy_cast_weights or self.weight_function or self.bias_function)
        at_hand = x.device.type == weight.device.type == "cpu" and x.dtype == weight.dtype
        return causal and as_stored and at_hand and not bool(weight[:, :, :-1].any())


class PictureConv(ops.Conv2d):
    """ComfyUI's, of one picture at a time: of several torch takes another way, which rounds otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        """x [pictures, C, h, w] -> [pictures, C', h', w']."""
        if x.device.type != "cpu" or len(x) < 2:
            return super().forward(x)
        return torch.cat([super(PictureConv, self).forward(picture) for picture in x.split(1)])


class QuickNorm(RMS_norm):
    """ComfyUI's, by a sum of squares."""

    def forward(self, x: Tensor) -> Tensor:
        """x over its channels, the first dimension after the batch, to a length of sqrt(channels), times gamma."""
        gamma = self.gamma
        at_hand = x.device.type == gamma.device.type == "cpu" and x.dtype == gamma.dtype == torch.float32
        # those of the attention in the middle take pictures, [B, C, h, w], and are few
        if not (at_hand and x.ndim == 5 and self.channel_first and self.bias is None):
            return super().forward(x)
        # picture by picture: torch rounds the last sums of a tensor otherwise than those before them
        squares = torch.stack([picture.square().sum(1, keepdim=True) for picture in x.unbind(-3)], dim=-3)
        return x * squares.clamp_min(LEAST_LENGTH**2).rsqrt() * (gamma * self.scale)


_QUICK: dict[type, type] = {CausalConv3d: QuickConv, ops.Conv2d: PictureConv, RMS_norm: QuickNorm}
