"""Bank of the published MemFlow program, number for number, so that its weights run as they were trained and judged.

The program is the authors' release beside arXiv 2512.14699; `tests/golden/README.md` says how it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..config import MemoryConfig
from .bank import MemoryBank
from .cache import KVCache
from .frame_kv import Candidate, RebuiltKV, candidates_state, read_candidates
from .layout import FrameSpan, SlotLayout
from .nam_scores import relevance
from .pins import Pins, WithoutPins
from .policy import LayerHook
from .prompt_keys import PromptKeys
from .provenance import KVProvenance
from .state_dict import StateDict
from .trace import Trace


def rank(scores: Tensor) -> Tensor:
    """Listed places by falling score; among equals the lowest comes first. scores [layers, B, n] -> int64 alike."""
    return scores.sort(dim=-1, descending=True, stable=True).indices


def published_span(layout: SlotLayout) -> FrameSpan | None:
    """The latent frames that a recache of the published program reads again.

    Sink + window frames are recomputed, but the keys of as many as the sink holds are dropped; in a stream no longer
    than sink + window, the sink itself is rewritten. None before the first chunk.
    """
    made = layout.end - layout.origin
    if made == 0:
        return None
    frames = min(layout.sink_slots + layout.window_slots, made)
    return FrameSpan(layout.end - frames, frames, query_only=layout.sink_slots if made > frames else 0)


class ReferenceMemory(WithoutPins):
    """The published bank, its quirks included.

    The newest recorded frame is appended again before every chunk, so it can fill several slots. Right after a
    prompt switch the scores are taken against zeros: all frames tie. A full bank is listed by falling score.

    Implements `MemoryPolicy`.

    rank        orders the bank by score. The published program leaves ties to the device; another rule can be
                given here.
    newest      the newest recorded frame.
    promised    recorded frames that the bank has been promised a slot for; may exceed its size.
    text_known  False from a recache to the next pass: the published bank update then scores against zeros.
    """

    reads_empty_sink = True
    no_pins = "retrieval 'reference' knows no pins: choose another policy to pin a frame."
    no_archive = "retrieval 'reference' has no archive: choose another policy to ban a moment."
    reads_alone = False
    coming: tuple[PromptKeys, ...] = ()

    def __init__(self, cache: KVCache, config: MemoryConfig, *, trace: Trace, rank: Callable[[Tensor], Tensor] = rank):
        self.bank = MemoryBank(cache)
        self.config = config
        self.trace = trace
        self.rank = rank
        self.pins = Pins(0)
        self.pin_device = cache.device
        self.newest: Candidate | None = None
        self.promised = 0
        self.text_known = True

    @property
    def copied(self) -> set[int]:
        """Latent frames whose keys were copied for the bank, or will be. Waits for the device."""
        newest = set() if self.newest is None else {self.newest.frame}
        return newest | set(self.bank.listed_frames().unique().tolist())

    # -- moments of a chunk -------------------------------------------------------------------------------------------

    def on_prompt_change(self, chunk: int, recall: Sequence[str]) -> None:
        """There are no pins to recall."""

    def on_cut(self, chunk: int, prompt: PromptKeys) -> None:
        """Empty the sink, which attention reads whole, so that the new shot does not see the old one (ours)."""
        self.bank.cache.zero_window()

    def on_fresh(self, first_frame: int) -> None:
        """Begin as a stream that has made nothing: empty bank, and zeros in the sink, which is read whole (ours)."""
        self.bank.cache.zero_window()
        self.bank.clear()
        if self.newest is not None and self.newest.kv is not None:
            self.bank.release(self.newest.kv)
        self.newest, self.promised, self.text_known = None, 0, True

    def before_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """The published bank update comes at a chunk's first pass."""

    def recache_span(self, chunk: int, prompt: PromptKeys, provenance: KVProvenance) -> FrameSpan | None:
        """Published: forget the sink if it is not global, and update the bank before the recache."""
        self.text_known = False
        if not self.config.global_sink:
            self.bank.cache.zero_window()
            provenance.forget_window()
        span = published_span(self.bank.cache.layout)
        if span is not None:
            self.update(chunk, prompt)
        return span

    def first_pass_hook(self, chunk: int, prompt: PromptKeys) -> LayerHook | None:
        self.update(chunk, prompt)
        return None

    def question(self, chunk: int, prompt: PromptKeys) -> LayerHook | None:
        """There is no archive to choose from."""
        return None

    def answer(self, chunk: int, prompt: PromptKeys) -> None:
        """There is no archive to choose from."""

    def after_first_pass(self) -> None:
        self.text_known = True

    def before_context_pass(self, chunk: int, prompt: PromptKeys, denoising_steps: int) -> None:
        """The published multi-prompt program updates its bank again here when there is only one step."""
        if denoising_steps == 1 and self.config.record == "interval":
            self.text_known = True
            self.update(chunk, prompt)

    def after_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """The chunk's first latent frame becomes the newest."""
        due = self.bank.cache.layout.story_chunk(chunk, first_frame) % self.config.record_every == 0
        if not due and self.config.record == "interval":
            return
        if self.newest is not None and self.newest.kv is not None:
            self.bank.release(self.newest.kv)
        self.newest = Candidate(first_frame, prompt.number, self.bank.copy_frame(first_frame))
        self.promised += int(due)
        self.trace.add("record", chunk, frame=first_frame)

    def update(self, chunk: int, prompt: PromptKeys) -> None:
        """Let the newest frame into the bank: into a new slot, over the slot filled last, or in place of the last."""
        if self.newest is None or self.bank.slots == 0:
            return
        before, scores = self.bank.listed_frames(), None
        if self.promised > self.bank.slots:
            text = prompt.mean_k if self.text_known else torch.zeros_like(prompt.mean_k)
            scores = relevance(self.bank, text)
            self._compress(scores, self.newest)
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

    def _compress(self, scores: Tensor, newest: Candidate) -> None:
        """Sort by falling score, then let the newest frame take the last place."""
        falling = self.rank(scores)
        self.bank.cache.order.copy_(self.bank.cache.order.gather(-1, falling))
        last = torch.full_like(falling[..., 0], self.bank.slots - 1)
        self.bank.replace(last, newest, torch.ones_like(last, dtype=torch.bool))

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        state = StateDict(meta={"text_known": self.text_known, "promised": self.promised})
        state.update(self.bank.state_dict())
        state.update(candidates_state("offer", "offers", [] if self.newest is None else [self.newest]))
        return state

    def load_state_dict(self, state: StateDict, rebuilt: RebuiltKV) -> None:
        self.bank.load_state_dict(state)
        read = read_candidates(state, "offer", "offers", self.bank.cache.device, rebuilt.candidates)
        self.newest = read[0] if read else None
        self.promised = state.meta["promised"]
        self.text_known = state.meta["text_known"]
