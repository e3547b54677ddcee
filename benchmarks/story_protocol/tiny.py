"""The tiny story model as the protocol needs it, without ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.recall import Models
from memflow_core.config import LatentShape, SamplingConfig
from memflow_core.model import Backbone
from memflow_core.weights import ASSETS
from training.generator import SIDE
from training.vae import Codec


class TinyModel:
    """Implements `StoryModel`. Raises FileNotFoundError or ValueError for a file that is missing or not whole."""

    name = "tiny story model"
    device = None

    def __init__(self, folder: Path = ASSETS):
        self.shape = LatentShape(SIDE, SIDE)
        self.sampling = SamplingConfig()
        self._models = Models.read(folder)
        self._backbone = Backbone(self._models.tree, self._models.dtype)

    def embed(self, prompts: Sequence[str]) -> list[Tensor]:
        """One embedding [1, length, text_dim] for each prompt. Raises ValueError for a word that it does not know."""
        return [self._models.embed([prompt]) for prompt in prompts]

    @contextmanager
    def ready(self) -> Iterator[Backbone]:
        yield self._backbone

    def pictures(self) -> TinyPictures:
        """A decoder at the start of a video."""
        return TinyPictures(self._models.codec)


class TinyPictures:
    """Implements `Pictures`: keeps all latents [1, frames, C, h, w], and decodes the newest after those before."""

    def __init__(self, codec: Codec):
        self._codec = codec
        self._latents: Tensor | None = None

    def decode(self, latents: Tensor) -> Tensor:
        new = latents.movedim(2, 1)
        first = 0 if self._latents is None else self._latents.shape[1]
        self._latents = new if self._latents is None else torch.cat((self._latents, new), dim=1)
        pictures = self._codec.decode_part(self._latents, first, self._latents.shape[1])
        return torch.from_numpy(pictures[0]).float() / 255

    def state(self) -> object:
        return self._latents

    def restore(self, state: object) -> None:
        assert state is None or isinstance(state, Tensor)
        self._latents = state
