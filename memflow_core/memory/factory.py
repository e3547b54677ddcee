"""Make the memory that a `MemoryConfig` asks for."""

from __future__ import annotations

import torch

from ..config import MemoryConfig
from .archive import Moments
from .cache import KVCache
from .narrative import NarrativeMemory
from .policy import MemoryPolicy
from .reference import ReferenceMemory
from .shots import ShotMemory
from .trace import Trace


def make_memory(
    cache: KVCache,
    config: MemoryConfig,
    *,
    trace: Trace,
    chunk_frames: int,
    pin_device: torch.device,
    moments: Moments,
) -> MemoryPolicy:
    """`ReferenceMemory` for retrieval `reference`, `ShotMemory` for `shots`, else `NarrativeMemory`.

    chunk_frames  latent frames of a chunk.
    pin_device    where keys and values of named pins wait.
    moments       the stream's frames, to be read anew.
    """
    if config.retrieval == "reference":
        return ReferenceMemory(cache, config, trace=trace)
    made = ShotMemory if config.retrieval == "shots" else NarrativeMemory
    return made(cache, config, trace=trace, chunk_frames=chunk_frames, pin_device=pin_device, moments=moments)
