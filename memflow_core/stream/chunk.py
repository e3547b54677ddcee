"""What a stream makes, and in which size."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..memory import Record


@dataclass(frozen=True)
class ForwardPass:
    """One pass through the model, announced before it runs.

    `kind`: recache, denoise or context; before the first chunk of a run also rebuild (keys of a compact state) and
    picture (a picture on its way to the bank).
    """

    kind: str
    chunk: int
    step: int = 0


@dataclass(frozen=True)
class Chunk:
    """A finished chunk. latents [B, C, F, h, w] float32 in the model's latent space; start in latent frames."""

    index: int
    start: int
    latents: Tensor
    prompt: int
    forwards: tuple[ForwardPass, ...]
    trace: list[Record]
