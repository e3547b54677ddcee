"""The bank of the published program, kept so that its weights can be run exactly as they were trained and judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..config import MemoryConfig
from .bank import MemoryBank
from .cache import KVCache
from .frame_kv import Candidate
from .layout import FrameSpan, SlotLayout
from .pins import Pins
from .prompt_keys import PromptKeys
from .trace import Trace


def rank(scores: Tensor) -> Tensor:
    """Listed places by falling score, [layers, B, n]; among equals the lowest comes first."""
    return scores.sort(dim=-1, descending=True, stable=True).indices


def published_span(at: SlotLayout) -> FrameSpan | None:
    """The latent frames that a recache reads again: sink + window frames are recomputed, but the keys of as many as
    the sink holds are dropped; in a stream no longer than sink + window, the sink itself is rewritten."""
    made = at.end - at.origin
    if made == 0:
        return None
    frames = min(at.sink_slots + at.window_slots, made)
    return FrameSpan(at.end - frames, frames, unwritten=at.sink_slots if made > frames else 0)


class ReferenceMemory:
    """Number for number, its quirks included.

    The newest recorded frame is appended again before every chunk, so it can fill several slots. Right after a
    prompt switch the scores are taken against zeros: all frames tie. A full bank is listed by falling score.

    rank  orders the bank by score. The published program leaves ties to the device; another rule can be given here.
    """

    def __init__(self, cache: KVCache, config: MemoryConfig, trace: Trace, rank: Callable[[Tensor], Tensor] = rank):
        self.bank, self.config, self.trace, self.rank = MemoryBank(cache), config, trace, rank
        self.newest: Candidate | None = None
        self.pins = Pins(0)  # there are none
        self.promised = 0  # recorded frames that the bank has been promised a slot for; may exceed its size

    @property
    def offers(self) -> list[Candidate]:
        """Frames that are not in the bank yet."""
        return [] if self.newest is None else [self.newest]

    @property
    def copied(self) -> set[int]:
        """Latent frames whose keys were copied for the bank, or will be. Waits for the device."""
        return {offer.frame for offer in self.offers} | set(self.bank.listed_frames().unique().tolist())

    def recall(self, chunk: int, names: Sequence[str]) -> None:
        """At a prompt change; nothing is pinned."""

    def cut(self, chunk: int, prompt: PromptKeys) -> None:
        """Before window and sink are forgotten; nothing waits there."""

    def meet(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """Before a chunk; a prompt is met at its first step alone."""

    def open(self, chunk: int, prompt: PromptKeys, text_known: bool) -> None:
        """Before a chunk's first step."""
        self.update(chunk, prompt, text_known)

    def settle(self) -> None:
        """After the chunk's first forward; everything is decided."""

    def record(self, chunk: int, frame: int, prompt: PromptKeys) -> None:
        """After the context pass of a chunk: its first latent frame becomes the newest prototype."""
        due = chunk % self.config.record_every == 0
        if not due and self.config.record == "interval":
            return
        if self.newest is not None:
            self.bank.release(self.newest.prototype)
        self.newest = Candidate(frame, prompt.number, self.bank.copy_frame(frame))
        self.promised += int(due)
        self.trace.add("record", chunk, frame=frame)

    def update(self, chunk: int, prompt: PromptKeys, text_known: bool) -> None:
        """Before a chunk's first step, and before a recache. Where not `text_known`, scores are against zeros."""
        if self.newest is None or self.bank.slots == 0:
            return
        before, scores = self.bank.listed_frames(), None
        if self.promised > self.bank.slots:
            scores = self.bank.relevance(prompt.mean_k if text_known else torch.zeros_like(prompt.mean_k))
            self._compress(scores)
        elif self.promised > self.bank.cache.layout.bank:
            self.bank.append(self.newest)
        else:
            self.bank.overwrite_newest(self.newest)
        self.trace.add(
            "retrieve",
            chunk,
            policy="reference",
            candidate=self.newest.frame,
            first_layer=0,
            before=before,
            scores=scores,
            after=self.bank.listed_frames(),
        )

    def _compress(self, scores: Tensor) -> None:
        """Sort by falling score, then let the newest frame take the last place."""
        falling = self.rank(scores)
        self.bank.cache.order.copy_(self.bank.cache.order.gather(-1, falling))
        last = torch.full_like(falling[..., 0], self.bank.slots - 1)
        self.bank.replace(last, self.newest, torch.ones_like(last, dtype=torch.bool))
