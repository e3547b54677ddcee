"""Narrative Adaptive Memory (paper section 3.2): which past frames the bank keeps for the coming prompt.

Before a chunk, the bank is scored against the chunk's prompt, and the least relevant frame gives way to the newest
candidate. Scores are dot products of means, so they need one mean key a slot and never a token-by-token matrix.
Every decision is taken on the device, for all layers and batch items side by side, and left in the trace.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from .attention import LayerHook
from .bank import Bank, Offer, PromptKeys, Prototype
from .cache import KVCache
from .config import MemoryConfig
from .trace import Trace

# queries that meet the memory at once when attention mass is measured; bounds the score matrix
MASS_TILE = 256
ALL = slice(None)


class NarrativeMemory:
    """The bank as the paper describes it: each recorded frame enters once, when it leaves the window.

    So no frame stands twice in sink, bank and window, and the sink needs no bank slot. While the bank is full:
    `prompt`      drops the frame least relevant to the coming prompt; the newest always enters (NAM).
    `similarity`  drops the frame whose own prompt is least like the coming one, the newest competing.
    `attention`   drops the frame that the coming chunk's queries look at least, the newest competing; it is
                  decided layer by layer inside the chunk's first forward.
    `fifo`        drops the oldest.
    """

    def __init__(self, cache: KVCache, config: MemoryConfig, trace: Trace, chunk_frames: int):
        self.bank, self.config, self.trace, self.chunk_frames = Bank(cache), config, trace, chunk_frames
        self.offers: deque[Offer] = deque()
        self.undecided: list[Offer] = []  # offers that wait for the coming chunk's queries
        self.pins = set(config.pins)
        self.pooled: list[Tensor] = []  # mean embedding of every prompt so far, by number

    def record(self, chunk: int, frame: int, prompt: PromptKeys) -> None:
        """After the context pass of a chunk: offer its first latent frame, and every pinned one."""
        if not self.bank.slots:
            return
        wanted = {frame} if chunk % self.config.record_every == 0 else set()
        for offered in sorted(wanted | self.pins & set(range(frame, frame + self.chunk_frames))):
            self._offer(offered, prompt.number)
            self.trace.add("record", chunk, frame=offered)

    def pin(self, chunk: int, frame: int, prompt: PromptKeys) -> None:
        """Keep a latent frame for good, as long as something still holds it.

        Raises ValueError if nothing does any more, or if as many frames are pinned as the bank has slots.
        """
        if frame in self.pins:
            return
        self._check_room(frame)
        if not any(offer.frame == frame for offer in self.offers):
            if self._stands(frame):
                self._offer(frame, prompt.number)
            elif not bool((self.bank.listed_frames() == frame).any(dim=-1).all()):
                raise ValueError(
                    f"latent frame {frame} is no longer held in memory: pin a frame while it is in sink, "
                    f"window or bank."
                )
        self.pins.add(frame)
        self.trace.add("pin", chunk, frame=frame)

    def take_in(self, chunk: int, frame: int, prompt: PromptKeys, prototype: Prototype) -> None:
        """Put a frame that the stream never made into the bank, for good. Raises ValueError if that is full of pins."""
        self._check_room(frame)
        self._remember(prompt)
        self.pins.add(frame)
        self.trace.add("pin", chunk, frame=frame)
        self._consider(chunk, Offer(frame, prompt.number, prototype), prompt)

    def _check_room(self, frame: int) -> None:
        if len(self.pins) >= self.bank.slots:
            raise ValueError(
                f"latent frame {frame} cannot be pinned: {len(self.pins)} frames are, and the bank holds "
                f"{self.bank.slots}; make the bank larger."
            )

    def update(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """Before a chunk: let in the frames that this chunk pushes out of the window."""
        self._remember(prompt)
        oldest = first_frame + self.chunk_frames - self.config.window_frames
        due = [offer for offer in self.offers if offer.prototype is not None and offer.frame < oldest]
        for offer in due:
            self.offers.remove(offer)
            self._consider(chunk, offer, prompt)

    def cut(self, chunk: int, prompt: PromptKeys) -> None:
        """Before window and sink are forgotten: all that waits there is let in now."""
        self._remember(prompt)
        while self.offers:
            offer = self.offers.popleft()
            if offer.prototype is None:
                offer = Offer(offer.frame, offer.prompt, self.bank.copy_frame(offer.frame))
            self._consider(chunk, offer, prompt)

    def layer_hook(self, chunk: int) -> LayerHook | None:
        """For the chunk's first forward: decides what `attention` left undecided, one layer at a time."""
        if not self.undecided:
            return None

        def decide(layer: int, q: Tensor) -> None:
            for offer in self.undecided:
                bank, candidate = self._attention_mass(layer, q, offer)
                self._admit(chunk, offer, bank, candidate, slice(layer, layer + 1))

        return decide

    def settle(self) -> None:
        """After the chunk's first forward."""
        for offer in self.undecided:
            self.bank.release(offer.prototype)
        self.undecided = []

    def _stands(self, frame: int) -> bool:
        at = self.bank.cache.at
        return at.origin <= frame < at.origin + at.sink or at.window_start <= frame < at.end

    def _offer(self, frame: int, prompt: int) -> None:
        at = self.bank.cache.at
        in_sink = frame - at.origin < at.sink_slots
        self.offers.append(Offer(frame, prompt, None if in_sink else self.bank.copy_frame(frame)))

    def _remember(self, prompt: PromptKeys) -> None:
        if prompt.number == len(self.pooled):
            self.pooled.append(prompt.pooled)

    def _consider(self, chunk: int, offer: Offer, prompt: PromptKeys) -> None:
        if self.bank.cache.at.bank < self.bank.slots:
            before = self.bank.listed_frames()
            self.bank.append(offer)
            self._note(chunk, offer, before, None, ALL)
        elif self.config.retrieval == "attention":
            self.undecided.append(offer)
            return
        else:
            self._admit(chunk, offer, *self._scores(offer, prompt), ALL)
        self.bank.release(offer.prototype)

    def _scores(self, offer: Offer, prompt: PromptKeys) -> tuple[Tensor, Tensor | None]:
        """Scores of the bank [layers, B, n] in listed order, and of the candidate [layers, B] if it competes."""
        frames = self.bank.listed_frames()
        if self.config.retrieval == "prompt":
            return self.bank.relevance(prompt.own_k), None
        if self.config.retrieval == "similarity":
            likeness = torch.einsum("pbc,bc->bp", torch.stack(self.pooled), prompt.pooled).expand(len(frames), -1, -1)
            return likeness.gather(-1, self.bank.listed_prompts()), likeness[..., offer.prompt]
        return frames.float(), None

    def _attention_mass(self, layer: int, q: Tensor, offer: Offer) -> tuple[Tensor, Tensor]:
        """Share of attention over sink, bank and candidate, averaged over queries and heads.

        q [B, heads, L, head_dim] -> bank [1, B, n] in listed order, candidate [1, B].
        """
        cache, first = self.bank.cache, self.bank.filled().start
        held = cache.k[layer, :, :, first : cache.at.border + cache.at.sink]
        keys = torch.cat((held, offer.prototype.k[layer][:, :, None]), dim=2)  # [B, heads, frames, tokens, head_dim]
        mass = torch.zeros(keys.shape[0], keys.shape[2], device=q.device)
        for tile in q.split(MASS_TILE, dim=2):
            logits = torch.einsum("bhqd,bhntd->bhqnt", tile, keys).float() / q.shape[-1] ** 0.5
            mass += logits.flatten(3).softmax(dim=-1).view_as(logits).sum(dim=(1, 2, 4))
        mass /= q.shape[1] * q.shape[2]
        return mass.gather(-1, self.bank.listed(slice(layer, layer + 1))[0] - first)[None], mass[None, :, -1]

    def _admit(self, chunk: int, offer: Offer, scores: Tensor, candidate: Tensor | None, layers: slice) -> None:
        """Let `offer` take the place of the lowest score; a competing candidate must reach that score itself."""
        frames = self.bank.listed_frames(layers)
        contest = scores
        if self.pins:
            pins = torch.tensor(sorted(self.pins), device=frames.device)
            contest = scores.masked_fill(torch.isin(frames, pins), torch.inf)
        lowest, place = (x[..., 0] for x in contest.sort(dim=-1, stable=True))
        wanted = lowest < torch.inf
        if candidate is not None and offer.frame not in self.pins:
            wanted = wanted & (candidate >= lowest)
        self.bank.replace(place, offer, wanted, layers)
        shown = scores if candidate is None else torch.cat((scores, candidate[..., None]), dim=-1)
        self._note(chunk, offer, frames, shown, layers)

    def _note(self, chunk: int, offer: Offer, before: Tensor, scores: Tensor | None, layers: slice) -> None:
        self.trace.add(
            "retrieve",
            chunk,
            policy=self.config.retrieval,
            candidate=offer.frame,
            first_layer=layers.start or 0,
            before=before,
            scores=scores,
            after=self.bank.listed_frames(layers),
        )
