"""Eight-bit numbers: float8 e4m3 with a shared power-of-two scale.

With a power of two, decoding is exact in every precision that a model computes in, and a decoded number encodes to the
same bits again. The error of e4m3 is 2.5 % (root mean square) whatever the number's size, down to 2^-15 of the largest,
so it matters little how many numbers share a scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = torch.finfo(torch.float8_e4m3fn).max
LEAST_EXPONENT = -14  # of a scale: float16 has no smaller power of two in full precision


def check_device(device: torch.device | str) -> None:
    """Raise ValueError where torch has no eight-bit floats."""
    if torch.device(device).type == "mps":
        raise ValueError("memory cache is 'fp8', which Apple's MPS does not know: choose cache 'model'.")


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    """Encode floating point x [..., n, d] with one scale for each [n, d].

    Returns (bits uint8 [..., n, d], scales float32 [...]). The bits are not typed as float8, so that every device can
    copy, index and compare them.
    """
    _, exponent = torch.frexp(x.abs().amax(dim=(-2, -1)).float() / LARGEST)
    scale = torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent.clamp(min=LEAST_EXPONENT))
    return (x / scale[..., None, None].to(x.dtype)).to(torch.float8_e4m3fn).view(torch.uint8), scale


def decode(bits: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Decode bits uint8 [..., n, d] and scales [...] of `encode` into a new tensor [..., n, d] of `dtype`."""
    return bits.view(torch.float8_e4m3fn).to(dtype).mul_(scale[..., None, None].to(dtype))
