"""Memory of shots, as LongLive 2 was trained with it: the bank holds the first chunk of the present shot.

A shot begins with the story, at a cut, or at a `jump`, which moves positions on and forgets nothing. The bank has room
for one chunk. Until the shot's first chunk leaves the window, the bank holds the chunk that left it last; then it holds
that first chunk until the next shot's takes its place. Nothing is recomputed at a prompt change.
"""

from __future__ import annotations

from collections import deque

from .frame_kv import Candidate, RebuiltKV
from .layout import FrameSpan
from .narrative import NarrativeMemory
from .pins import WithoutPins
from .policy import LayerHook
from .prompt_keys import PromptKeys
from .provenance import KVProvenance
from .state_dict import StateDict


class ShotMemory(WithoutPins, NarrativeMemory):
    """The bank of one chunk. Implements `MemoryPolicy`.

    candidates  first latent frame and prompt of each chunk in sink and window, without keys of their own.
    """

    no_pins = (
        "retrieval 'shots' keeps the first chunk of each shot, and knows no pins: choose another policy to pin a frame."
    )
    no_archive = "retrieval 'shots' has no archive: choose another policy to ban a moment."
    _held: int | None = None  # first latent frame in the bank, the same in every layer

    @property
    def copied(self) -> set[int]:
        """Latent frames in the bank, and those that may come to it with the next chunk. Waits for the device."""
        return set(self.bank.listed_frames().unique().tolist()) | set(self._leaving())

    def on_cut(self, chunk: int, prompt: PromptKeys) -> None:
        """The bank stays as it is; what was in the window is gone."""
        self._remember(prompt)
        self.candidates.clear()

    def on_fresh(self, first_frame: int) -> None:
        """The bank is empty, and the new story's first shot begins."""
        super().on_fresh(first_frame)
        self._held = None

    def before_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """The chunk that leaves the window takes the bank, unless the bank holds the start of the shot."""
        self._remember(prompt)
        frames, shot = self._leaving(), self._shot_before(first_frame)
        if frames and (shot is None or self._held != shot):
            self._put(chunk, frames)

    def recache_span(self, chunk: int, prompt: PromptKeys, provenance: KVProvenance) -> FrameSpan | None:
        """Nothing is read again."""
        return None

    def first_pass_hook(self, chunk: int, prompt: PromptKeys) -> LayerHook | None:
        return None

    def after_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        self.candidates.append(Candidate(first_frame, prompt.number, None))
        standing = self.bank.cache.layout.standing
        self.candidates = deque(candidate for candidate in self.candidates if candidate.frame in standing)

    def load_state_dict(self, state: StateDict, rebuilt: RebuiltKV) -> None:
        super().load_state_dict(state, rebuilt)
        frames = self.bank.listed_frames()
        self._held = int(frames.min()) if frames.numel() else None

    # -- the chunk in the bank ----------------------------------------------------------------------------------------

    def _leaving(self) -> range:
        """Frames of the window that the next chunk takes the place of."""
        layout = self.bank.cache.layout
        return range(layout.window_start, min(layout.first_seen_after(self.chunk_frames), layout.end))

    def _shot_before(self, first_frame: int) -> int | None:
        """First frame of the shot that a chunk goes on with; None for the first one, which the sink holds."""
        layout = self.bank.cache.layout
        began = [jump for jump in layout.jumps if layout.origin < jump < first_frame]
        return began[-1] if began else None

    def _put(self, chunk: int, frames: range) -> None:
        layout, cache = self.bank.cache.layout, self.bank.cache
        before = self.bank.listed_frames().clone()
        layout.bank = len(frames)
        prompt = next((c.prompt for c in self.candidates if c.frame == frames.start), 0)
        for place, frame in enumerate(frames):
            # listed oldest first, and the bank is listed from its right end on
            slot = self.bank.slots - 1 - place
            source = layout.slot(frame)
            for part in cache.parts.values():
                part[:, :, :, slot] = part[:, :, :, source]
            cache.frames[:, :, slot] = frame
            self.bank.prompts[:, :, slot] = prompt
        self._held = frames.start
        self.trace.add(
            "retrieve",
            chunk,
            policy="shots",
            candidate=frames.start,
            first_layer=0,
            before=before,
            scores=None,
            after=self.bank.listed_frames(),
        )
