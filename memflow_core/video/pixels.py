"""Decoded frames on their way to an encoder: eight bits a colour, in RAM."""

from __future__ import annotations

import torch
from torch import Tensor

NAN = "frames hold NaN, which is no colour: check the VAE's weights and precision."


def eight_bits(frames: Tensor) -> Tensor:
    """Colours from 0 to 1 as 0 to 255, on the same device. What lies outside is clipped; NaN becomes anything."""
    return frames.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


class LeavingFrames:
    """Frames that leave a CUDA device through pinned memory, on the stream that is current when this is made.

    Nothing waits here: the copy is behind everything that the stream was given before. Floating point [F, H, W, 3],
    0 to 1.
    """

    def __init__(self, frames: Tensor):
        self._pixels = _to_pinned(eight_bits(frames))
        self._broken = _to_pinned(torch.isnan(frames).any())
        # a thread that waits for it must not spin: the encoder needs the core
        self._ready = torch.cuda.Event(blocking=True)
        self._ready.record()

    def arrived(self) -> Tensor:
        """Wait for them, in any thread: [F, H, W, 3] uint8 in RAM. Raises ValueError if they held NaN."""
        self._ready.synchronize()
        if bool(self._broken):
            raise ValueError(NAN)
        return self._pixels


def _to_pinned(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
