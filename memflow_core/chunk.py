"""What a stream makes, and in which size."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .trace import Record


@dataclass(frozen=True)
class LatentShape:
    """Batch and latent size of a stream; rows and columns are an eighth of the picture's."""

    rows: int
    columns: int
    batch: int = 1

    def __post_init__(self) -> None:
        for name, value in (("height", self.rows), ("width", self.columns)):
            if value < 2 or value % 2:
                raise ValueError(
                    f"the picture {name} is {value * 8} pixels, but must be a multiple of 16, at least 16."
                )
        if self.batch < 1:
            raise ValueError(f"the batch is {self.batch}, but must be at least 1.")

    @property
    def tokens(self) -> int:
        """Tokens of one latent frame."""
        return (self.rows // 2) * (self.columns // 2)


@dataclass(frozen=True)
class Forward:
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
    forwards: tuple[Forward, ...]
    trace: list[Record]
