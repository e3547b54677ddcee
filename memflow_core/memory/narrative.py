"""Narrative Adaptive Memory (NAM, section 3.2 of arXiv 2512.14699): which past frames the bank keeps.

Before a chunk, the bank is scored against the chunk's prompt, and the least relevant frame gives way to the newest
candidate. Scores are in `nam_scores`; this module admits frames and drops them. Every decision is taken on the device,
for all layers and batch items side by side, and left in the trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from ..config import MemoryConfig
from .admission import FITS, kept_ahead, novelty
from .archive import Moments
from .bank import MemoryBank
from .cache import KVCache
from .frame_kv import Candidate, FrameKV, RebuiltKV, candidates_state, read_candidates
from .layout import FrameSpan
from .nam_scores import SCORES, Scores, attention_mass
from .pins import NamedPin, Pins
from .policy import LayerHook
from .prompt_keys import PromptKeys
from .provenance import KVProvenance
from .recollection import Recollection
from .state_dict import StateDict
from .trace import Trace

ALL_LAYERS = slice(None)


class NarrativeMemory:
    """NAM: each recorded frame enters the bank once, when it leaves the window.

    So no frame stands twice in sink, bank and window, and the sink needs no bank slot. While the bank is full:
    `prompt`      drops the frame least relevant to the coming prompt; the newest always enters (NAM).
    `similarity`  (ours) drops the frame whose own prompt is least like the coming one, the newest competing.
    `attention`   (ours) drops the frame that the coming chunk's queries attend to least, the newest competing; it is
                  decided layer by layer inside the chunk's first pass.
    `fifo`        drops the oldest.

    Implements `MemoryPolicy`.

    candidates  recorded frames that are still in sink or window.
    undecided   candidates that wait for the coming chunk's queries.
    pooled      [B, text_dim] float32: pooled embedding of every prompt so far, by number.
    coming      prompts to come, nearest first, as far as they are known and the settings look ahead.
    recollection  reads frames anew, and chooses the bank from the archive, where the settings ask for it.
    """

    reads_empty_sink = False

    def __init__(
        self,
        cache: KVCache,
        config: MemoryConfig,
        *,
        trace: Trace,
        chunk_frames: int,
        pin_device: torch.device,
        moments: Moments,
    ):
        self.bank = MemoryBank(cache)
        self.config = config
        self.trace = trace
        self.chunk_frames = chunk_frames
        self.pins = Pins(self.bank.slots, config.pins)
        self.pin_device = pin_device
        self.candidates: deque[Candidate] = deque()
        self.undecided: list[Candidate] = []
        self.pooled: list[Tensor] = []
        self.coming: tuple[PromptKeys, ...] = ()
        self.recollection = Recollection(self.bank, config, moments=moments, trace=trace)
        self.reads_alone = self.recollection.reads_alone
        self._entered: set[int] = set()  # recalled frames that were put into the bank or found there

    @property
    def copied(self) -> set[int]:
        """Latent frames whose keys were copied for the bank, or will be. Waits for the device."""
        waiting = {candidate.frame for candidate in (*self.candidates, *self.undecided)}
        held = set(self.bank.listed_frames().unique().tolist())
        return {*self.pins.kept, *waiting, *held, *self.recollection.archive.prompts}

    # -- moments of a chunk -------------------------------------------------------------------------------------------

    def on_prompt_change(self, chunk: int, recall: Sequence[str]) -> None:
        self.recollection.due = self.recollection.has_archive
        if tuple(recall) == self.pins.recalled:
            return
        self.pins.recalled = tuple(recall)
        self._entered &= self.pins.recalled_frames
        frames = [self.pins.named[name].frame for name in recall]
        self.trace.add("recall", chunk, names=list(recall), frames=frames)

    def on_cut(self, chunk: int, prompt: PromptKeys) -> None:
        """All candidates that wait in sink and window meet the bank now."""
        self._remember(prompt)
        if self.recollection.due:
            # they are in the archive, which is chosen from
            self._forget(self.candidates)
            self.candidates.clear()
            if not self.recollection.asks:
                self._choose_anew(chunk, prompt, lambda frame: True)
            return
        self._recall_into_bank(chunk, self.pins.recalled_frames, prompt)
        while self.candidates:
            candidate = self.candidates.popleft()
            self._leave_window(chunk, candidate, prompt)

    def on_fresh(self, first_frame: int) -> None:
        """Bank, candidates, archive and pins of the story before are forgotten."""
        self._forget((*self.candidates, *self.undecided))
        self.candidates.clear()
        self.undecided = []
        self._entered.clear()
        self.pins.forget(first_frame)
        self.recollection.forget()
        self.bank.clear()

    def before_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """Candidates that this chunk pushes out of the window meet the bank."""
        self._remember(prompt)
        layout = self.bank.cache.layout
        oldest = first_frame + self.chunk_frames - self.config.window_frames
        gone = {frame for frame in self.pins.recalled_frames if frame < max(oldest, layout.origin)}
        self._recall_into_bank(chunk, {frame for frame in gone if not layout.in_sink(frame)}, prompt)
        due = [one for one in self.candidates if one.frame < oldest and not layout.in_sink(one.frame)]
        if self.recollection.due:
            self._forget(due)
            self.candidates = deque(one for one in self.candidates if one not in due)
            if not self.recollection.asks:
                seen_from = max(oldest, layout.origin)
                self._choose_anew(chunk, prompt, lambda frame: frame < seen_from and not layout.in_sink(frame))
            return
        for candidate in due:
            self.candidates.remove(candidate)
            self._leave_window(chunk, candidate, prompt)

    def recache_span(self, chunk: int, prompt: PromptKeys, provenance: KVProvenance) -> FrameSpan | None:
        """The window's frames that the coming chunk will still see; the sink is never touched."""
        layout = self.bank.cache.layout
        first = layout.first_seen_after(self.chunk_frames)
        return FrameSpan(first, layout.end - first) if first < layout.end else None

    def question(self, chunk: int, prompt: PromptKeys) -> LayerHook | None:
        """For archive rule `attention`: measure what the coming chunk's queries attend to."""
        hook = self.recollection.question(self.bank.cache.layout.has_left)
        if hook is None and self.recollection.due:
            self.answer(chunk, prompt)
        return hook

    def answer(self, chunk: int, prompt: PromptKeys) -> None:
        """Choose the bank by what was measured."""
        self._choose_anew(chunk, prompt, self.bank.cache.layout.has_left)

    def first_pass_hook(self, chunk: int, prompt: PromptKeys) -> LayerHook | None:
        """For retrieval `attention`: decide about the undecided candidates, one layer at a time."""
        if not self.undecided:
            return None

        def decide(layer: int, q: Tensor) -> None:
            for candidate in self.undecided:
                scores = attention_mass(self.bank, layer, q, candidate)
                self._admit(chunk, candidate, scores, slice(layer, layer + 1))

        return decide

    def after_first_pass(self) -> None:
        self._forget(self.undecided)
        self.undecided = []

    def before_context_pass(self, chunk: int, prompt: PromptKeys, denoising_steps: int) -> None:
        """The bank changes before a chunk alone."""

    def after_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """Record the chunk's first latent frame every `record_every` chunks, and every pinned one."""
        if not self.bank.slots:
            return
        made = range(first_frame, first_frame + self.chunk_frames)
        pinned = self.pins.frames & set(made)
        due = self.bank.cache.layout.story_chunk(chunk, first_frame) % self.config.record_every == 0
        recorded = {first_frame} if due else set()
        for frame in sorted(recorded | pinned):
            self._record(frame, prompt.number)
            self.trace.add("record", chunk, frame=frame)
        for frame in sorted(pinned):
            self.trace.add("pin", chunk, frame=frame, name=None)
        for name, pin in self.pins.named.items():
            if pin.frame in made:
                pin.kept = self._keep(pin.frame, prompt.number)
                self.trace.add("pin", chunk, frame=pin.frame, name=name)

    # -- pins and frames put in by hand -------------------------------------------------------------------------------

    def check_recall(self, names: Sequence[str]) -> None:
        self.pins.check_recall(names)

    def pin(self, chunk: int, frame: int, name: str | None, upcoming: Sequence[str], prompt: int) -> None:
        """Keep a latent frame, as long as something still holds it, or as soon as it is made.

        upcoming  names of the pins that the coming chunk's prompt asks for.
        prompt    number of the prompt that the frame is taken to be made under, where nothing records it.

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
                self._ensure_candidate(frame, prompt)
            self.pins.frames.add(frame)
        if made:
            self.trace.add("pin", chunk, frame=frame, name=name)

    def unpin(self, chunk: int, pin: int | str) -> None:
        frame = self.pins.drop(pin)
        self._entered &= self.pins.recalled_frames
        self.trace.add("unpin", chunk, frame=frame, name=pin if isinstance(pin, str) else None)

    def ban(self, chunk: int, frame: int) -> None:
        """Never recall a frame again; one that is in the bank leaves it before the next chunk.

        Raises ValueError for a frame that is pinned or not in the archive.
        """
        if frame in self.pins.frames | {pin.frame for pin in self.pins.named.values()}:
            raise ValueError(f"latent frame {frame} is pinned, so it cannot be banned: unpin it first.")
        self.recollection.ban(chunk, frame)

    def insert(self, chunk: int, frame: int, prompt: PromptKeys, kv: FrameKV) -> None:
        self.pins.check_new(frame, None, self.pins.recalled)
        self._remember(prompt)
        self.pins.frames.add(frame)
        self.trace.add("pin", chunk, frame=frame, name=None)
        self._consider(chunk, Candidate(frame, prompt.number, kv), prompt)

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        if self.undecided:
            raise ValueError("a stream that was given pictures has a state after its next chunk: make a chunk first.")
        # a key of the file format, which only the published memory needs
        state = StateDict({"pooled": torch.stack(self.pooled)}, {"text_known": True})
        for part in (
            self.bank.state_dict(),
            self.pins.state_dict(),
            candidates_state("offer", "offers", self.candidates),
            self.recollection.state_dict(),
        ):
            state.update(part)
        return state

    def load_state_dict(self, state: StateDict, rebuilt: RebuiltKV) -> None:
        device = self.bank.cache.device
        self.bank.load_state_dict(state)
        self.pins.load_state_dict(state, self.pin_device, rebuilt.pins)
        read = read_candidates(state, "offer", "offers", device, rebuilt.candidates)
        self.candidates = deque(candidate for candidate in read if candidate is not None)
        self.pooled = list(state.tensors["pooled"].to(device))
        self.recollection.load_state_dict(state)

    # -- frames on their way ------------------------------------------------------------------------------------------

    def _record(self, frame: int, prompt: int) -> None:
        # what is read anew needs no copy
        safe = self.bank.cache.layout.in_sink(frame) or self.recollection.reads_alone
        self.recollection.record(frame, prompt)
        self.candidates.append(Candidate(frame, prompt, None if safe else self.bank.copy_frame(frame)))

    def _ensure_candidate(self, frame: int, prompt: int) -> None:
        """Make sure that a frame is in the bank, or will be when it leaves the window."""
        if any(candidate.frame == frame for candidate in self.candidates):
            return
        if self.bank.cache.layout.holds(frame):
            self._record(frame, prompt)
        elif not self.bank.holds(frame):
            kept = self._keep(frame, prompt)
            self.candidates.append(Candidate(frame, kept.prompt, self.bank.borrow(kept.copied)))

    def _keep(self, frame: int, prompt: int) -> Candidate:
        """Copy a frame's keys and values for the store of named pins, from wherever they are."""
        if frame in self.pins.kept:
            return self.pins.kept[frame]
        candidate = next((candidate for candidate in self.candidates if candidate.frame == frame), None)
        if candidate is not None:
            prompt = candidate.prompt
        if self.recollection.reads_alone and (frame in self.copied or self.bank.cache.layout.holds(frame)):
            return self.recollection.keep(frame, prompt, self.pin_device)
        self.recollection.record(frame, prompt)
        if candidate is not None and candidate.kv is not None:
            source = candidate.kv
        elif self.bank.cache.layout.holds(frame):
            source = self.bank.view_frame(frame)
        elif self.bank.holds(frame):
            source = self.bank.gather_frame(frame)
        else:
            raise ValueError(
                f"latent frame {frame} is no longer held in memory: pin a frame while it is in sink, window or bank."
            )
        return Candidate(frame, prompt, source.copy(self.pin_device))

    def _recall_into_bank(self, chunk: int, frames: Iterable[int], prompt: PromptKeys) -> None:
        """Let recalled pins into the bank that are not there yet."""
        kept = self.pins.kept
        for frame in sorted(set(frames) - self._entered):
            self._entered.add(frame)
            if not self.bank.holds(frame):
                kv = self.bank.borrow(kept[frame].copied)
                self._consider(chunk, Candidate(frame, kept[frame].prompt, kv), prompt)

    def _choose_anew(self, chunk: int, prompt: PromptKeys, may_return: Callable[[int], bool]) -> None:
        """Fill the bank from the archive for the coming prompt; pins keep their places.

        may_return  says of a frame whether the coming chunk will not see it in sink or window.
        """
        protected = self.pins.protected
        # pictures that wait for the coming chunk's queries are pinned
        kept = self.pins.kept | {candidate.frame: candidate for candidate in self.undecided}
        pinned = {frame for frame in protected if frame in self.copied and may_return(frame)}
        self.recollection.refill(chunk, prompt, may_return, pinned=pinned, reserved=len(protected - pinned), kept=kept)
        self.after_first_pass()
        self._entered = self.pins.recalled_frames & pinned

    def _remember(self, prompt: PromptKeys) -> None:
        if prompt.number == len(self.pooled):
            self.pooled.append(prompt.pooled)

    def _leave_window(self, chunk: int, candidate: Candidate, prompt: PromptKeys) -> None:
        # as a recalled pin it is in the bank already
        if candidate.frame not in self._entered:
            if self.recollection.leaves_room(candidate.frame, self.pins.protected):
                self._consider(chunk, self.recollection.with_keys(candidate), prompt)
        elif candidate.kv is not None:
            self._release(candidate)

    def _forget(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            if candidate.kv is not None:
                self._release(candidate)

    def _release(self, candidate: Candidate) -> None:
        self.bank.release(candidate.copied)

    # -- admission ----------------------------------------------------------------------------------------------------

    def _consider(self, chunk: int, candidate: Candidate, prompt: PromptKeys) -> None:
        """Append a candidate while the bank has room; else score it now, or leave that to the first pass."""
        if self.bank.cache.layout.bank < self.bank.slots:
            before = self.bank.listed_frames()
            self.bank.append(candidate)
            self._trace(chunk, candidate, before, None, ALL_LAYERS)
        elif self.config.retrieval == "attention":
            self.undecided.append(candidate)
            return
        else:
            scores = SCORES[self.config.retrieval](self.bank, candidate, prompt, self.pooled)
            self._admit(chunk, candidate, scores, ALL_LAYERS)
        self._release(candidate)

    def _admit(self, chunk: int, candidate: Candidate, scores: Scores, layers: slice) -> None:
        """Let a candidate take the place of the lowest score; a competing one must reach that score itself."""
        frames, protected = self.bank.listed_frames(layers), self.pins.protected
        droppable = scores.bank
        # by numbers of the host: a tensor of them would be sent to the device in each layer of a pass, and waited for
        for pinned in sorted(protected):
            droppable = droppable.masked_fill(frames == pinned, torch.inf)
        if candidate.frame not in protected:
            droppable = droppable.masked_fill(self.recollection.asked_for(frames), torch.inf)
            if self.coming:
                # retrieval by attention, the one that is decided layer by layer, does not look ahead
                fit, stays = FITS[self.config.retrieval], droppable == torch.inf
                ahead = kept_ahead(self.bank, candidate, fit, self.coming, self.pooled, stays)
                droppable = droppable.masked_fill(ahead, torch.inf)
        lowest, place = (x[..., 0] for x in droppable.sort(dim=-1, stable=True))
        # a pin may have come back into some layers' banks already
        wanted = (lowest < torch.inf) & ~(frames == candidate.frame).any(dim=-1)
        if scores.candidate is not None and candidate.frame not in protected:
            wanted = wanted & (scores.candidate >= lowest)
        if self.config.admission == "novelty" and candidate.frame not in protected:
            wanted = wanted & novelty(self.bank, candidate, layers)
        self.bank.replace(place, candidate, wanted, layers)
        self._trace(chunk, candidate, frames, scores.all, layers)

    def _trace(self, chunk: int, candidate: Candidate, before: Tensor, scores: Tensor | None, layers: slice) -> None:
        self.trace.add(
            "retrieve",
            chunk,
            policy=self.config.retrieval,
            candidate=candidate.frame,
            first_layer=layers.start or 0,
            before=before,
            scores=scores,
            after=self.bank.listed_frames(layers),
        )
