"""Provenance of cached keys and values: the latents and prompts that they were made of.

A frame's keys follow from its latents and the prompt that it was read under, so those are kept, on the CPU, for every
frame that sink, window or bank still hold: megabytes where the keys themselves are gigabytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .layout import FrameSpan, SlotLayout
from .state_dict import EmbeddingTable, StateDict

UNKNOWN = "unknown"
WRITES = ("context", "recache", "picture", "alone", UNKNOWN)


@dataclass(eq=False)
class KVWrite:
    """One forward pass over clean latents that left keys and values in the cache.

    kind      `context`: a finished chunk. `recache`: frames read again at a prompt change. `picture`: a frame that no
              chunk made, read alone. `alone`: a frame of a chunk, read alone. `unknown`: a frame from a state file of
              version 1, which does not record how its keys were made: span and text only say which frame it is.
    span      its latent frames.
    text      the prompt's embedding, [B, length, text_dim].
    timestep  0 is clean.
    in_cache  frames in sink or window that have the keys of this write.
    weights   name of the weights that the model had; "" for its own.
    """

    kind: str
    span: FrameSpan
    text: Tensor
    timestep: float = 0.0
    in_cache: set[int] = field(default_factory=set)
    weights: str = ""

    @property
    def needed(self) -> range:
        """Latent frames whose latents it takes to write the same again."""
        return range(0) if self.kind == UNKNOWN else self.span.all

    def to_json(self, text: int) -> dict[str, Any]:
        """As in a state file; text: the embedding's number."""
        return {
            "kind": self.kind,
            "start": self.span.start,
            "frames": self.span.frames,
            "unwritten": self.span.query_only,
            "text": text,
            "timestep": self.timestep,
            "standing": sorted(self.in_cache),
            **({"weights": self.weights} if self.weights else {}),
        }

    @staticmethod
    def from_json(entry: dict[str, Any], texts: Sequence[Tensor]) -> KVWrite:
        """From a state file; texts: its embeddings by number."""
        span = FrameSpan(entry["start"], entry["frames"], query_only=entry["unwritten"])
        text, in_cache, weights = texts[entry["text"]], set(entry["standing"]), entry.get("weights", "")
        return KVWrite(entry["kind"], span, text, entry["timestep"], in_cache, weights)


class KVProvenance:
    """The writes behind everything that a cache holds, oldest first.

    sources  the write whose keys were copied for the bank, by latent frame.
    latents  [B, C, h, w] float32 on the CPU of each latent frame that a write needs.
    """

    def __init__(self) -> None:
        self.writes: list[KVWrite] = []
        self.sources: dict[int, KVWrite] = {}
        self.latents: dict[int, Tensor] = {}
        self._fresh: dict[int, Tensor] = {}  # on the stream's device, until `settle`

    def add(self, write: KVWrite, latents: Tensor) -> None:
        """Note a write of latents [B, C, F, h, w]. Nothing is copied before `settle`."""
        if write.kind == "picture":
            self.sources |= dict.fromkeys(write.span.all, write)
        else:
            write.in_cache = set(write.span.stored)
        for earlier in self.writes:
            earlier.in_cache -= write.in_cache
        self.writes.append(write)
        self._fresh |= dict(zip(write.span.all, latents.unbind(dim=2), strict=True))

    def forget_window(self) -> None:
        """Note that the keys in sink and window were thrown away."""
        for write in self.writes:
            write.in_cache = set()

    def settle(self, layout: SlotLayout, copied: Collection[int], *, alone: bool = False) -> None:
        """Keep what is still held after a chunk, on the CPU.

        layout  which frames are in sink and window.
        copied  frames whose keys the bank holds, or that are candidates for it.
        alone   whether keys of those that a chunk made are made anew, by reading each alone, and not copied.
        """
        standing = layout.standing
        if alone:
            self._note_alone(frame for frame in copied if frame >= 0)
        for write in self.writes:
            write.in_cache &= standing
        self._find_sources(copied)
        sources = set(self.sources.values())
        self.writes = [write for write in self.writes if write.in_cache or write in sources]
        self._keep_latents({frame for write in self.writes for frame in write.needed})

    def origin_of(self, frame: int) -> tuple[Tensor, KVWrite]:
        """A frame's latents [B, C, h, w] and the write that says what it was made under. Raises KeyError without."""
        write = self.sources.get(frame)
        if write is None:
            write = next((one for one in reversed(self.writes) if frame in one.in_cache), None)
        latents = self.latents.get(frame, self._fresh.get(frame))
        if write is None or latents is None:
            raise KeyError(frame)
        return latents, write

    def state_dict(self, texts: EmbeddingTable, recent: range) -> StateDict:
        """Writes, and the latents behind them.

        texts   table that the writes' embeddings are added to.
        recent  latent frames whose latents the state keeps anyway.
        """
        frames = sorted(self.latents.keys() - set(recent))
        tensors = {"ledger.latents": torch.stack([self.latents[frame] for frame in frames], dim=2)} if frames else {}
        numbers = {id(write): number for number, write in enumerate(self.writes)}
        meta = {
            "frames": frames,
            "writes": [write.to_json(texts.number(write.text)) for write in self.writes],
            "sources": [[frame, numbers[id(write)]] for frame, write in sorted(self.sources.items())],
        }
        return StateDict(tensors, {"ledger": meta})

    def load_state_dict(self, state: StateDict, texts: Sequence[Tensor], recent: Tensor, first: int) -> None:
        """Read writes and latents back.

        texts   embeddings by number.
        recent  latents [B, C, F, h, w] of the newest frames, from latent frame `first` on.
        """
        meta = state.meta["ledger"]
        self.writes = [KVWrite.from_json(entry, texts) for entry in meta["writes"]]
        self.sources = {frame: self.writes[number] for frame, number in meta["sources"]}
        known = dict(enumerate(recent.unbind(dim=2), start=first))
        if meta["frames"]:
            kept = state.tensors["ledger.latents"].unbind(dim=2)
            known = dict(zip(meta["frames"], kept, strict=True)) | known
        needed = {frame for write in self.writes for frame in write.needed}
        self.latents = {frame: known[frame].clone() for frame in needed}

    def _note_alone(self, frames: Iterable[int]) -> None:
        """Let frames be read anew from their latents and prompt, whatever becomes of their chunk's other frames."""
        in_cache = {frame: write for write in self.writes for frame in write.in_cache}
        for frame in frames:
            if frame not in self.sources and frame in in_cache:
                made = in_cache[frame]
                write = KVWrite("alone", FrameSpan(frame, 1), made.text, made.timestep, weights=made.weights)
                self.sources[frame] = write
                self.writes.append(write)

    def _find_sources(self, copied: Iterable[int]) -> None:
        in_cache = {frame: write for write in self.writes for frame in write.in_cache}
        # once copied, keys do not change with those in the window
        found = {frame: self.sources.get(frame) or in_cache.get(frame) for frame in copied}
        self.sources = {frame: write for frame, write in found.items() if write is not None}

    def _keep_latents(self, needed: set[int]) -> None:
        self.latents = {frame: latents for frame, latents in self.latents.items() if frame in needed}
        for frame in needed - self.latents.keys():
            # a copy, or one frame would keep its whole chunk
            self.latents[frame] = self._fresh[frame].detach().to("cpu", copy=True)
        self._fresh = {}
