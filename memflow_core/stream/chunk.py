"""Chunks that a stream makes, and the forward passes that it announces."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..memory import Record


@dataclass(frozen=True)
class ForwardPass:
    """One pass through the model, announced before it runs.

    kind   recache, refresh, denoise or context; before the first chunk of a run also rebuild (keys of a compact state)
           and picture (a picture for the bank). moment: a frame of the bank, read anew. ask: like a chunk's first one,
           made for its queries alone, by which the bank is chosen.
    chunk  number of the chunk it is for.
    step   denoising step, from 0.
    """

    kind: str
    chunk: int
    step: int = 0


@dataclass(frozen=True)
class Chunk:
    """A finished chunk.

    index     its number in the stream, from 0.
    start     its first latent frame.
    latents   [B, C, F, h, w] float32 in the model's latent space.
    prompt    number of the prompt that it was made under.
    forwards  the passes that it took, recaches before it included.
    trace     what memory decided for it.
    """

    index: int
    start: int
    latents: Tensor
    prompt: int
    forwards: tuple[ForwardPass, ...]
    trace: list[Record]
