"""Prompts to come, as a memory that looks ahead is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..memory import PromptKeys

if TYPE_CHECKING:
    from .stream import Stream

MOST_AHEAD = 16  # prompts to come that memory is told of; each is embedded once


class LookAhead:
    """Embeds the prompts that are to come, each once, for memory to keep what they will ask for."""

    def __init__(self, stream: Stream):
        self._stream = stream
        # with the embedding itself, so that no other takes its id
        self._known: dict[tuple[int, str], tuple[Tensor, PromptKeys]] = {}

    def tell(self, texts: Sequence[Tensor], weights: Sequence[str]) -> None:
        """Tell memory of prompt embeddings [1 or B, length, text_dim], nearest first, and of the model's weights under
        each, which are set here and left so."""
        coming = list(zip(texts, weights, strict=True))[:MOST_AHEAD]
        self._known = {
            (id(text), name): self._known.get((id(text), name)) or (text, self._embed(text, name))
            for text, name in coming
        }
        self._stream.memory.coming = tuple(self._known[id(text), name][1] for text, name in coming)

    def _embed(self, text: Tensor, weights: str) -> PromptKeys:
        stream = self._stream
        stream.backbone.use_weights(weights)
        text = text.to(stream.device).expand(stream.shape.batch, -1, -1)
        return PromptKeys.of(-1, text, stream.backbone.embed_text(text))
