"""Footprints of the 1.3B model, for tests of their numbers and of what people read of them."""

from __future__ import annotations

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.estimate import Decode, Footprint, estimate
from memflow_core.model import ModelSize, fp8_bytes_of, weights_of
from memflow_core.schedule import ChunkGrid, Time, read_schedule

FULL = ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960)
VAE_NUMBERS = 126_892_531
IN_BF16, IN_FP8 = 2 * weights_of(FULL), fp8_bytes_of(FULL)
STORY = "0s: a\n10s: b\n20s [cut]: c\n40s: d"


def footprint(
    memory: MemoryConfig | None = None,
    width: int = 832,
    height: int = 480,
    *,
    text: str = STORY,
    frames: int = 957,
    streamed: bool = True,
    weights: int = IN_BF16,
    **more,
) -> Footprint:
    """By default in bfloat16 and for a minute."""
    shape = LatentShape(height // 8, width // 8)
    plan = read_schedule(text).place(ChunkGrid(3, 16.0), Time(frames, "frames"))
    decode = Decode.of(shape, 2 * VAE_NUMBERS, 2) if streamed else None
    estimated = estimate(FULL, shape, memory=memory or MemoryConfig(), plan=plan, sampling=SamplingConfig())
    return Footprint(estimated, shape, weights, decode, **more)
