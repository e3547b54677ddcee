from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

# signals, limits of files and the scheduling of threads are those of POSIX and of Linux
collect_ignore = [] if sys.platform == "linux" else ["test_scheduling.py"]
if sys.platform == "win32":
    collect_ignore.append("test_crash.py")

COLOURS = torch.tensor([[220, 30, 40], [30, 190, 50], [40, 60, 230], [128, 128, 128], [250, 240, 20], [12, 12, 12]])
HEIGHT, WIDTH = 48, 96


@pytest.fixture
def stripes() -> Callable[..., torch.Tensor]:
    """stripes(frames, first=0) -> uint8 [F, 48, 96, 3]: six coloured stripes that change places every four frames."""

    def make(frames: int, first: int = 0) -> torch.Tensor:
        numbers = range(first, first + frames)
        order = [COLOURS.roll(number // 4, 0).repeat_interleave(WIDTH // 6, 0) for number in numbers]
        return torch.stack(order)[:, None].expand(-1, HEIGHT, -1, -1).to(torch.uint8)

    return make


@pytest.fixture
def read_pictures() -> Callable[[Path], list[np.ndarray]]:
    """read_pictures(path) -> all frames of a video, [H, W, 3] uint8."""

    def read(path: Path) -> list[np.ndarray]:
        with av.open(path) as file:
            return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]

    return read


@pytest.fixture
def read_tags() -> Callable[[Path], dict[str, str]]:
    """read_tags(path) -> a video's metadata, names in lower case."""

    def read(path: Path) -> dict[str, str]:
        with av.open(path) as file:
            return {name.lower(): value for name, value in file.metadata.items()}

    return read
