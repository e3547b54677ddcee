"""What the protocol needs of a model: prompts to embeddings, a backbone, and latents to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from memflow_core.config import LatentShape, SamplingConfig
from memflow_core.model import Backbone


class Pictures(Protocol):
    """Decodes one video from front to back."""

    def decode(self, latents: Tensor) -> Tensor:
        """The next latent frames [1, C, F, h, w], as the model makes them, to float32 [f, H, W, 3] from 0 to 1."""
        ...

    def state(self) -> object:
        """What the next latents need of the past."""
        ...

    def restore(self, state: object) -> None:
        """Go on from a `state()`."""
        ...


class StoryModel(Protocol):
    """A model that plays stories.

    name      by which results know it.
    device    where it computes; None: where its weights are.
    """

    name: str
    shape: LatentShape
    sampling: SamplingConfig
    device: torch.device | None

    def embed(self, prompts: Sequence[str]) -> list[Tensor]:
        """One embedding [1, length, text_dim] for each prompt."""
        ...

    def ready(self) -> AbstractContextManager[Backbone]:
        """The model on its device, with what decodes its latents, while the context lasts."""
        ...

    def pictures(self) -> Pictures:
        """A decoder at the start of a video."""
        ...
