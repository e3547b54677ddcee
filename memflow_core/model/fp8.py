"""Numbers in eight bits: float8 e4m3 under a scale of their own.

A scale is a power of two. Then decoding is exact in every precision that a model computes in, and what was decoded
encodes to the same bits again. An e4m3 number is off by 2.5 % (root mean square) whatever its size, down to 2^-15 of
the largest, so it matters little how many numbers share a scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = torch.finfo(torch.float8_e4m3fn).max
LEAST_EXPONENT = -14  # of a scale: float16 knows no smaller power of two in full precision


def check_device(device: torch.device | str) -> None:
    """Raise ValueError where torch has no eight-bit floats."""
    if torch.device(device).type == "mps":
        raise ValueError("memory cache is 'fp8', which Apple's MPS does not know: choose cache 'model'.")


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of x [..., n, d], (bits as uint8, as x; scales [...] in float32): one scale for the last two dimensions.

    Bits and not float8, so that every device can copy, choose and compare them.
    """
    _, exponent = torch.frexp(x.abs().amax(dim=(-2, -1)).float() / LARGEST)
    scale = torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent.clamp(min=LEAST_EXPONENT))
    return (x / scale[..., None, None].to(x.dtype)).to(torch.float8_e4m3fn).view(torch.uint8), scale


def decode(bits: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers that `encode` made bits and scales of, in a buffer of their own."""
    return bits.view(torch.float8_e4m3fn).to(dtype).mul_(scale[..., None, None].to(dtype))
