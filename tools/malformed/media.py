"""Malformed films and sounds: files that were cut or changed, and AUDIO values that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch

from memflow_core.video import VideoWriter

from .case import Case, flipped, shown, strange, write

BITS, CUTS, SOUNDS = 5, 2, 20


def films(folder: Path, random: Random) -> Iterator[Case]:
    """Damaged video files in a folder; about 25."""
    for ending in ("mp4", "webm", "mkv"):
        path = folder / f"whole.{ending}"
        path.unlink(missing_ok=True)
        with VideoWriter(path, 16) as writer:
            writer.write(torch.rand(12, 32, 32, 3, generator=torch.Generator().manual_seed(1)))
        whole = path.read_bytes()
        for number in range(BITS):
            damaged = whole
            for _ in range(number * 10 + 1):
                damaged = flipped(damaged, random.randrange(8 * len(whole)))
            yield Case(f"{ending}, {number * 10 + 1} bits flipped", write(folder / f"bits_{number}.{ending}", damaged))
        for number in range(CUTS):
            length = random.randrange(len(whole))
            yield Case(f"{ending} cut after {length}", write(folder / f"cut_{number}.{ending}", whole[:length]))
    for name, content in {"empty": b"", "text": b"hello", "zeros": bytes(5000)}.items():
        yield Case(f"a film of {name}", write(folder / f"{name}.mp4", content))


def sounds(_folder: Path, random: Random) -> Iterator[Case]:
    """AUDIO values; about 35."""
    good: dict[str, Any] = {"waveform": torch.zeros(1, 2, 4800), "sample_rate": 48000}
    for _ in range(SOUNDS):
        name = random.choice(sorted(good))
        value = strange(random)
        yield Case(f"{name} is {shown(value)}", {**good, name: value})
    for value in (None, {}, [], "sound", 5, {"waveform": good["waveform"]}, {"sample_rate": 48000}):
        yield Case(f"audio is {shown(value)}", value)
    shapes = {"two clips": (2, 2, 100), "no channels": (1, 0, 100), "nine channels": (1, 9, 100), "flat": (100,)}
    shapes |= {"no samples": (1, 2, 0), "four dimensions": (1, 1, 1, 100)}
    for name, shape in shapes.items():
        yield Case(f"a sound with {name}", {**good, "waveform": torch.zeros(shape)})
    for name, dtype in {"whole numbers": torch.int16, "complex numbers": torch.complex64}.items():
        yield Case(f"a sound of {name}", {**good, "waveform": torch.zeros(1, 2, 100, dtype=dtype)})
    for number in (float("nan"), float("inf")):
        yield Case(f"a sound of {number}", {**good, "waveform": torch.full((1, 1, 100), number)})
