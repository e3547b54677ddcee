"""Video frames as bytes: check for NaN, round to eight bits a colour, copy out of a CUDA device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NAN = "frames hold NaN, which is no colour: check the VAE's weights and precision."


def to_uint8(frames: Tensor) -> Tensor:
    """Check frames [..., H, W, 3] and convert them to bytes, on the same device.

    frames  uint8, which is returned as it is, or floating point from 0 to 1; values outside are clipped.

    Returns uint8 of the same shape. Raises ValueError for NaN, and for other dtypes.
    """
    if frames.dtype == torch.uint8:
        return frames
    if not frames.is_floating_point():
        raise ValueError(f"frames are {frames.dtype}, but must be uint8, or floating point from 0 to 1.")
    if bool(torch.isnan(frames).any()):
        raise ValueError(NAN)
    return round_colours(frames)


def round_colours(frames: Tensor) -> Tensor:
    """Round floating point colours from 0 to 1 to uint8 from 0 to 255, unchecked: NaN becomes any colour.

    Same shape, same device, and nothing waits for it. Values outside are clipped.
    """
    return frames.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


class PinnedFrames:
    """Frames on their way from a CUDA device to pinned memory, copied on the CUDA stream that is current now.

    frames  [F, H, W, 3] floating point from 0 to 1.

    Nothing waits here: the copy runs behind all work that the CUDA stream was given before.
    """

    def __init__(self, frames: Tensor):
        self._pixels = _to_pinned(round_colours(frames))
        self._has_nan = _to_pinned(torch.isnan(frames).any())
        # a thread that waits for a blocking event does not spin: the encoder needs the core
        self._copied = torch.cuda.Event(blocking=True)
        self._copied.record()

    def wait(self) -> Tensor:
        """Wait for the copy, in any thread -> [F, H, W, 3] uint8 in RAM. Raises ValueError if the frames held NaN."""
        self._copied.synchronize()
        if bool(self._has_nan):
            raise ValueError(NAN)
        return self._pixels


def _to_pinned(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def to_numpy(frames: Tensor | np.ndarray) -> np.ndarray:
    """Frames [F, H, W, 3] of any device and dtype -> uint8 in RAM. Raises ValueError for another shape."""
    tensor = frames.detach() if isinstance(frames, Tensor) else torch.from_numpy(np.array(frames))
    if tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise ValueError(f"frames have shape {list(tensor.shape)}, but must be [frames, height, width, 3].")
    return to_uint8(tensor).cpu().contiguous().numpy()
