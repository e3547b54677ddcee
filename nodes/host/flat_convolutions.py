"""Convolutions over time that look at one picture alone, done picture by picture on a CPU.

The tiny VAE has the Wan layout, whose kernels are 3 x 3 x 3, but for most of them only the last of the three taps over
time is not zero. torch multiplies by the zeros, and for so few channels does so without oneDNN: ten times the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def convolve_by_picture(model: nn.Module) -> None:
    """Let the convolutions of a VAE from ComfyUI skip taps over time that are zero, on a CPU.

    Results are the same but for rounding. On other devices all is as it was.
    """
    for conv in model.modules():
        if isinstance(conv, nn.Conv3d) and conv.kernel_size[0] > 1 and conv.padding_mode == "zeros":
            conv._conv_forward = partial(_convolve, conv, conv._conv_forward)  # type: ignore[method-assign]


def _convolve(
    conv: nn.Conv3d, as_torch: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, **options: Any
) -> Tensor:
    """x [B, C, F, h, w] -> [B, C', F', h', w']; `weight` is what ComfyUI hands over, cast and patched."""
    if not _is_flat(conv, x, weight, options):
        return as_torch(x, weight, bias, **options)
    taps = weight.shape[2]
    # ComfyUI pads a video's beginning in name only: it takes fewer taps
    first = (min(taps, x.shape[2]) if options.get("autopad") else taps) - 1
    pictures = x[:, :, first:].transpose(1, 2).flatten(0, 1)
    made = F.conv2d(pictures, weight[:, :, -1], bias, conv.stride[1:], conv.padding[1:], conv.dilation[1:], conv.groups)
    return made.unflatten(0, (len(x), -1)).transpose(1, 2)


def _is_flat(conv: nn.Conv3d, x: Tensor, weight: Tensor, options: dict[str, Any]) -> bool:
    known = options.keys() <= {"autopad"} and options.get("autopad") in (None, "causal_zero")
    plain = conv.stride[0] == conv.dilation[0] == 1 and conv.padding[0] == 0
    return known and plain and x.device.type == "cpu" and not bool(weight[:, :, :-1].any())
