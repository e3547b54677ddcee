"""Frames as bytes: rounded, checked for NaN, and copied out of a CUDA device behind its earlier work."""

from __future__ import annotations

import pytest
import torch

from memflow_core.video import PinnedFrames, round_colours, to_uint8

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_colours_are_rounded_and_clipped(device, dtype):
    colours = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0, 2.0, torch.inf], device=device, dtype=dtype)
    for convert in (round_colours, to_uint8):
        assert convert(colours).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]


def test_bytes_stay_as_they_are():
    frames = torch.randint(256, (2, 4, 6, 3), dtype=torch.uint8)
    assert to_uint8(frames) is frames


def test_what_is_no_colour_is_refused():
    frames = torch.rand(2, 4, 6, 3)
    frames[1, 2, 3, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(frames)
    with pytest.raises(ValueError, match="int64, but must be uint8"):
        to_uint8(torch.zeros(2, 4, 6, 3, dtype=torch.int64))


if torch.cuda.is_available():

    def test_frames_leave_a_device_as_they_are():
        frames = torch.rand(12, 64, 96, 3, device="cuda")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            pinned = PinnedFrames(frames)
            broken = PinnedFrames(frames / 0 * 0)
        pixels = pinned.wait()
        assert pixels.is_pinned() and torch.equal(pixels, to_uint8(frames).cpu())
        with pytest.raises(ValueError, match="NaN"):
            broken.wait()
