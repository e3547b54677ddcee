"""State of one part of a stream: tensors and JSON values under the keys of the state file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class StateDict:
    """What one part of a stream needs to go on exactly where it stood.

    Every owner (cache, memory, provenance, prompt, noise) makes its own with `state_dict` and reads its own keys back
    with `load_state_dict`; `memflow_core.state` merges them into one file. Keys are those of the file and never change.

    tensors  on any device; views are allowed, since `capture` copies.
    meta     JSON values.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    def update(self, other: StateDict) -> None:
        """Add the keys of another part."""
        self.tensors |= other.tensors
        self.meta |= other.meta


class EmbeddingTable:
    """Prompt embeddings of a state, each stored once and without its padding, referred to by number."""

    def __init__(self) -> None:
        self._texts: list[Tensor] = []

    def number(self, text: Tensor) -> int:
        """The number of an embedding [B, length, text_dim]; it is added if it is new."""
        text = text.detach().cpu()
        for number, known in enumerate(self._texts):
            if known.dtype == text.dtype and torch.equal(known, text):
                return number
        self._texts.append(text)
        return len(self._texts) - 1

    def state_dict(self) -> StateDict:
        """`text.N` [B, own length, text_dim], and `texts`, the lengths with padding."""
        tensors = {f"text.{number}": _without_padding(text) for number, text in enumerate(self._texts)}
        return StateDict(tensors, {"texts": [text.shape[1] for text in self._texts]})


def read_embeddings(state: StateDict) -> list[Tensor]:
    """The embeddings [B, length, text_dim] that an `EmbeddingTable` stored, by number, padded with zeros again."""
    lengths = state.meta["texts"]
    texts = [state.tensors[f"text.{number}"] for number in range(len(lengths))]
    return [F.pad(text, (0, 0, 0, length - text.shape[1])) for text, length in zip(texts, lengths, strict=True)]


def _without_padding(text: Tensor) -> Tensor:
    own = (text != 0).any(dim=-1).any(dim=0).nonzero()
    return text[:, : int(own[-1]) + 1 if len(own) else 1]
