"""Narrative Adaptive Memory (paper section 3.2): which past frames the bank keeps for the coming prompt.

Before a chunk, the bank is scored against the chunk's prompt, and the least relevant frame gives way to the newest
candidate. Scores are dot products of means, so they need one mean key a slot and never a token-by-token matrix.
Every decision is taken on the device, for all layers and batch items side by side, and left in the trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..config import MemoryConfig
from .bank import MemoryBank
from .cache import KVCache
from .frame_kv import Candidate, FrameKV
from .pins import NamedPin, Pins
from .policy import LayerHook
from .prompt_keys import PromptKeys
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

    pin_device  where named pins wait.
    """

    def __init__(self, cache: KVCache, config: MemoryConfig, trace: Trace, chunk_frames: int, pin_device: torch.device):
        self.bank, self.config, self.trace, self.chunk_frames = MemoryBank(cache), config, trace, chunk_frames
        self.offers: deque[Candidate] = deque()
        self.undecided: list[Candidate] = []  # offers that wait for the coming chunk's queries
        self.pins, self.pin_device = Pins(self.bank.slots, config.pins), pin_device
        self._entered: set[int] = set()  # recalled frames that were seen to stand in the bank since
        self.pooled: list[Tensor] = []  # mean embedding of every prompt so far, by number

    @property
    def copied(self) -> set[int]:
        """Latent frames whose keys were copied for the bank, or will be. Waits for the device."""
        kept = {pin.frame for pin in self.pins.named.values() if pin.kept is not None}
        on_their_way = {offer.frame for offer in (*self.offers, *self.undecided)}
        return kept | on_their_way | set(self.bank.listed_frames().unique().tolist())

    def record(self, chunk: int, frame: int, prompt: PromptKeys) -> None:
        """After the context pass of a chunk: offer its first latent frame, and keep every pinned one."""
        if not self.bank.slots:
            return
        made = range(frame, frame + self.chunk_frames)
        pinned = self.pins.frames & set(made)
        wanted = {frame} if chunk % self.config.record_every == 0 else set()
        for offered in sorted(wanted | pinned):
            self._offer(offered, prompt.number)
            self.trace.add("record", chunk, frame=offered)
        for kept in sorted(pinned):
            self.trace.add("pin", chunk, frame=kept, name=None)
        for name, pin in self.pins.named.items():
            if pin.frame in made:
                pin.kept = self._keep(pin.frame, prompt.number)
                self.trace.add("pin", chunk, frame=pin.frame, name=name)

    def pin(self, chunk: int, frame: int, name: str | None, upcoming: Sequence[str], prompt: int) -> None:
        """Keep a latent frame, as long as something still holds it, or as soon as it is made.

        upcoming  names of the pins that the coming chunk's prompt asks for.
        prompt    number of the prompt that the frame is taken to be made under, where nothing says so.

        Raises ValueError if nothing holds it any more, or if there is no room for it.
        """
        if self.pins.has(frame, name):
            return
        self.pins.check_new(frame, name, upcoming)
        made = frame < self.bank.cache.layout.end
        if name is not None:
            self.pins.named[name] = NamedPin(frame, self._keep(frame, prompt) if made else None)
        else:
            if made:
                self._ensure_offered(frame, prompt)
            self.pins.frames.add(frame)
        if made:
            self.trace.add("pin", chunk, frame=frame, name=name)

    def unpin(self, chunk: int, pin: int | str) -> None:
        """Take back the pin of a frame or of a name. Raises ValueError if there is none."""
        if pin not in (self.pins.named if isinstance(pin, str) else self.pins.frames):
            raise ValueError(f"{pin!r} is not pinned, so it cannot be unpinned.")
        if isinstance(pin, str):
            frame = self.pins.named[pin].frame
            self.pins.recalled = tuple(name for name in self.pins.recalled if name != pin)
            del self.pins.named[pin]
        else:
            frame = pin
            self.pins.frames.remove(pin)
        self._entered &= self.pins.recalled_frames
        self.trace.add("unpin", chunk, frame=frame, name=pin if isinstance(pin, str) else None)

    def recall(self, chunk: int, names: Sequence[str]) -> None:
        """At a prompt change: from now on these pins stand in the bank, and no other named ones need to."""
        if tuple(names) == self.pins.recalled:
            return
        self.pins.recalled = tuple(names)
        self._entered &= self.pins.recalled_frames
        frames = [self.pins.named[name].frame for name in names]
        self.trace.add("recall", chunk, names=list(names), frames=frames)

    def take_in(self, chunk: int, frame: int, prompt: PromptKeys, prototype: FrameKV) -> None:
        """Put a frame that the stream never made into the bank, for good. Raises ValueError if that is full of pins."""
        self.pins.check_new(frame, None, self.pins.recalled)
        self._remember(prompt)
        self.pins.frames.add(frame)
        self.trace.add("pin", chunk, frame=frame, name=None)
        self._consider(chunk, Candidate(frame, prompt.number, prototype), prompt)

    def meet(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """Before a chunk: let in the frames that this chunk pushes out of the window."""
        self._remember(prompt)
        at, oldest = self.bank.cache.layout, first_frame + self.chunk_frames - self.config.window_frames
        gone = {frame for frame in self.pins.recalled_frames if frame < max(oldest, at.origin)}
        self._bring_in(chunk, {frame for frame in gone if not at.in_sink(frame)}, prompt)
        due = [offer for offer in self.offers if offer.prototype is not None and offer.frame < oldest]
        for offer in due:
            self.offers.remove(offer)
            self._let_in(chunk, offer, prompt)

    def cut(self, chunk: int, prompt: PromptKeys) -> None:
        """Before window and sink are forgotten: all that waits there is let in now."""
        self._remember(prompt)
        self._bring_in(chunk, self.pins.recalled_frames, prompt)
        while self.offers:
            offer = self.offers.popleft()
            if offer.prototype is None:
                offer = Candidate(offer.frame, offer.prompt, self.bank.copy_frame(offer.frame))
            self._let_in(chunk, offer, prompt)

    def open(self, chunk: int, prompt: PromptKeys, text_known: bool) -> LayerHook | None:
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

    def _offer(self, frame: int, prompt: int) -> None:
        safe = self.bank.cache.layout.in_sink(frame)
        self.offers.append(Candidate(frame, prompt, None if safe else self.bank.copy_frame(frame)))

    def _ensure_offered(self, frame: int, prompt: int) -> None:
        """See to it that a frame is in the bank, or will be when it leaves the window."""
        if any(offer.frame == frame for offer in self.offers):
            return
        if self.bank.cache.layout.stands(frame):
            self._offer(frame, prompt)
        elif not self.bank.holds(frame):
            kept = self._keep(frame, prompt)
            self.offers.append(Candidate(frame, kept.prompt, self.bank.borrow(kept.prototype)))

    def _keep(self, frame: int, prompt: int) -> Candidate:
        """A frame's keys and values for the store of named pins, from wherever they are."""
        for pin in self.pins.named.values():
            if pin.frame == frame and pin.kept is not None:
                return pin.kept
        offer = next((offer for offer in self.offers if offer.frame == frame), None)
        if offer is not None:
            prompt = offer.prompt
        if offer is not None and offer.prototype is not None:
            source = offer.prototype
        elif self.bank.cache.layout.stands(frame):
            source = self.bank.view_frame(frame)
        elif self.bank.holds(frame):
            source = self.bank.gather_frame(frame)
        else:
            raise ValueError(
                f"latent frame {frame} is no longer held in memory: pin a frame while it is in sink, window or bank."
            )
        return Candidate(frame, prompt, source.copy(self.pin_device))

    def _bring_in(self, chunk: int, frames: Iterable[int], prompt: PromptKeys) -> None:
        """Let recalled pins in that do not stand in the bank yet."""
        kept = {pin.frame: pin.kept for pin in self.pins.named.values()}
        for frame in sorted(set(frames) - self._entered):
            self._entered.add(frame)
            if not self.bank.holds(frame):
                offer = Candidate(frame, kept[frame].prompt, self.bank.borrow(kept[frame].prototype))
                self._consider(chunk, offer, prompt)

    def _remember(self, prompt: PromptKeys) -> None:
        if prompt.number == len(self.pooled):
            self.pooled.append(prompt.pooled)

    def _let_in(self, chunk: int, offer: Candidate, prompt: PromptKeys) -> None:
        """A frame leaves the window; as a recalled pin it stands in the bank already."""
        if offer.frame in self._entered:
            self.bank.release(offer.prototype)
        else:
            self._consider(chunk, offer, prompt)

    def _consider(self, chunk: int, offer: Candidate, prompt: PromptKeys) -> None:
        if self.bank.cache.layout.bank < self.bank.slots:
            before = self.bank.listed_frames()
            self.bank.append(offer)
            self._note(chunk, offer, before, None, ALL)
        elif self.config.retrieval == "attention":
            self.undecided.append(offer)
            return
        else:
            self._admit(chunk, offer, *self._scores(offer, prompt), ALL)
        self.bank.release(offer.prototype)

    def _scores(self, offer: Candidate, prompt: PromptKeys) -> tuple[Tensor, Tensor | None]:
        """Scores of the bank [layers, B, n] in listed order, and of the candidate [layers, B] if it competes."""
        frames = self.bank.listed_frames()
        if self.config.retrieval == "prompt":
            return self.bank.relevance(prompt.own_k), None
        if self.config.retrieval == "similarity":
            likeness = torch.einsum("pbc,bc->bp", torch.stack(self.pooled), prompt.pooled).expand(len(frames), -1, -1)
            return likeness.gather(-1, self.bank.listed_prompts()), likeness[..., offer.prompt]
        return frames.float(), None

    def _attention_mass(self, layer: int, q: Tensor, offer: Candidate) -> tuple[Tensor, Tensor]:
        """Share of attention over sink, bank and candidate, averaged over queries and heads.

        q [B, heads, L, head_dim] -> bank [1, B, n] in listed order, candidate [1, B].
        """
        cache, first = self.bank.cache, self.bank.filled().start
        held = cache.keys(layer, slice(first, cache.layout.border + cache.layout.sink))
        candidate = offer.prototype.keys(layer, cache.dtype)
        keys = torch.cat((held, candidate[:, :, None]), dim=2)  # [B, heads, frames, tokens, head_dim]
        mass = torch.zeros(keys.shape[0], keys.shape[2], device=q.device)
        for tile in q.split(MASS_TILE, dim=2):
            logits = torch.einsum("bhqd,bhntd->bhqnt", tile, keys).float() / q.shape[-1] ** 0.5
            mass += logits.flatten(3).softmax(dim=-1).view_as(logits).sum(dim=(1, 2, 4))
        mass /= q.shape[1] * q.shape[2]
        return mass.gather(-1, self.bank.listed(slice(layer, layer + 1))[0] - first)[None], mass[None, :, -1]

    def _admit(self, chunk: int, offer: Candidate, scores: Tensor, candidate: Tensor | None, layers: slice) -> None:
        """Let `offer` take the place of the lowest score; a competing candidate must reach that score itself."""
        frames, protected = self.bank.listed_frames(layers), self.pins.protected
        contest = scores
        if protected:
            pinned = torch.tensor(sorted(protected), device=frames.device)
            contest = scores.masked_fill(torch.isin(frames, pinned), torch.inf)
        lowest, place = (x[..., 0] for x in contest.sort(dim=-1, stable=True))
        # a pin may have come back into some layers' banks already
        wanted = (lowest < torch.inf) & ~(frames == offer.frame).any(dim=-1)
        if candidate is not None and offer.frame not in protected:
            wanted = wanted & (candidate >= lowest)
        self.bank.replace(place, offer, wanted, layers)
        shown = scores if candidate is None else torch.cat((scores, candidate[..., None]), dim=-1)
        self._note(chunk, offer, frames, shown, layers)

    def _note(self, chunk: int, offer: Candidate, before: Tensor, scores: Tensor | None, layers: slice) -> None:
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
