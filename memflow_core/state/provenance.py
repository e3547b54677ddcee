"""A ledger as tensors and JSON, for a stream's state."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..memory import FrameSpan, KVProvenance, KVWrite


class Texts:
    """Prompt embeddings, each kept once and without its padding."""

    def __init__(self) -> None:
        self._texts: list[Tensor] = []

    def number(self, text: Tensor) -> int:
        """The number under which an embedding [B, length, text_dim] is kept."""
        text = text.detach().cpu()
        for number, known in enumerate(self._texts):
            if known.dtype == text.dtype and torch.equal(known, text):
                return number
        self._texts.append(text)
        return len(self._texts) - 1

    def lengths(self) -> list[int]:
        """Their lengths with padding."""
        return [text.shape[1] for text in self._texts]

    def tensors(self) -> dict[str, Tensor]:
        return {f"text.{number}": _without_padding(text) for number, text in enumerate(self._texts)}


def read_texts(tensors: dict[str, Tensor], lengths: list[int]) -> list[Tensor]:
    """The embeddings that a `Texts` wrote, padded with zeros to their lengths."""
    texts = [tensors[f"text.{number}"] for number in range(len(lengths))]
    return [F.pad(text, (0, 0, 0, length - text.shape[1])) for text, length in zip(texts, lengths, strict=True)]


def _without_padding(text: Tensor) -> Tensor:
    spoken = (text != 0).any(dim=-1).any(dim=0).nonzero()
    return text[:, : int(spoken[-1]) + 1 if len(spoken) else 1]


def pack(ledger: KVProvenance, texts: Texts, recent: range) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON of a ledger. recent: latent frames whose latents the state keeps anyway."""
    frames = sorted(ledger.latents.keys() - set(recent))
    tensors = {"ledger.latents": torch.stack([ledger.latents[frame] for frame in frames], dim=2)} if frames else {}
    numbers = {id(write): number for number, write in enumerate(ledger.writes)}
    meta = {
        "frames": frames,
        "writes": [
            {
                "kind": write.kind,
                "start": write.span.start,
                "frames": write.span.frames,
                "unwritten": write.span.unwritten,
                "text": texts.number(write.text),
                "timestep": write.timestep,
                "standing": sorted(write.standing),
            }
            for write in ledger.writes
        ],
        "sources": [[frame, numbers[id(write)]] for frame, write in sorted(ledger.sources.items())],
    }
    return tensors, meta


def unpack(
    tensors: dict[str, Tensor], meta: dict[str, Any], texts: list[Tensor], recent: Tensor, first: int
) -> KVProvenance:
    """The ledger that `pack` wrote. recent: latents [B, C, F, h, w] from latent frame `first` on."""
    ledger = KVProvenance()
    for kept in meta["writes"]:
        span = FrameSpan(kept["start"], kept["frames"], kept["unwritten"])
        write = KVWrite(kept["kind"], span, texts[kept["text"]], kept["timestep"], set(kept["standing"]))
        ledger.writes.append(write)
    ledger.sources = {frame: ledger.writes[number] for frame, number in meta["sources"]}
    known = dict(zip(meta["frames"], tensors["ledger.latents"].unbind(dim=2), strict=True)) if meta["frames"] else {}
    known |= dict(enumerate(recent.unbind(dim=2), start=first))
    needed = {frame for write in ledger.writes for frame in write.needed}
    ledger.latents = {frame: known[frame].clone() for frame in needed}
    return ledger
