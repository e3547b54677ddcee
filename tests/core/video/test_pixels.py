"""Frames on their way to an encoder: eight bits a colour, and out of a device behind what it was given before."""

from __future__ import annotations

import pytest
import torch

from memflow_core.video import LeavingFrames, eight_bits

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_colours_are_rounded_and_clipped(device, dtype):
    colours = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0, 2.0, torch.inf], device=device, dtype=dtype)
    assert eight_bits(colours).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]


if torch.cuda.is_available():

    def test_frames_leave_a_device_as_they_are():
        frames = torch.rand(12, 64, 96, 3, device="cuda")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            leaving = LeavingFrames(frames)
            broken = LeavingFrames(frames / 0 * 0)
        arrived = leaving.arrived()
        assert arrived.is_pinned() and torch.equal(arrived, eight_bits(frames).cpu())
        with pytest.raises(ValueError, match="NaN"):
            broken.arrived()
