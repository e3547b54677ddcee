"""Which cache slot holds which latent frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FrameSpan:
    """The latent frames of one forward pass.

    start       the first of them.
    frames      how many.
    query_only  how many of the first only query: their keys and values are not stored.
    """

    start: int
    frames: int
    query_only: int = 0

    @property
    def end(self) -> int:
        """One past the last frame."""
        return self.start + self.frames

    @property
    def all(self) -> range:
        """All latent frames that take part."""
        return range(self.start, self.end)

    @property
    def stored(self) -> range:
        """Latent frames whose keys and values are stored."""
        return range(self.start + self.query_only, self.end)


@dataclass
class SlotLayout:
    """Slots of a cache in use, in host integers. Latent frames count from `origin`, the first frame after the last cut.

    end    one past the newest latent frame written.
    bank   bank slots in use, the same in every layer.
    jumps  first latent frames of the shots that began with a jump, rising.
    began  first latent frame of the present story: 0, or that of the last `fresh` prompt. Positions count from there.
    """

    sink_slots: int
    window_slots: int
    bank_slots: int
    origin: int = 0
    end: int = 0
    bank: int = 0
    jumps: tuple[int, ...] = ()
    began: int = 0

    @property
    def border(self) -> int:
        """Index of the first sink slot."""
        return self.bank_slots

    @property
    def total(self) -> int:
        """Slots of bank, sink and window together."""
        return self.bank_slots + self.sink_slots + self.window_slots

    @property
    def sink(self) -> int:
        """Sink slots in use."""
        return min(self.end - self.origin, self.sink_slots)

    @property
    def window(self) -> int:
        """Window slots in use; the window holds the newest frames that are not in the sink."""
        return max(0, min(self.end - self.origin - self.sink_slots, self.window_slots))

    @property
    def window_start(self) -> int:
        """Oldest latent frame in the window."""
        return self.end - self.window

    @property
    def in_use(self) -> slice:
        """Slots of bank, sink and window that may hold a frame; the sink counts whole."""
        return slice(self.border - self.bank, self.border + self.sink_slots + self.window)

    @property
    def standing(self) -> set[int]:
        """Latent frames in sink and window."""
        return {*range(self.origin, self.origin + self.sink), *range(self.window_start, self.end)}

    def first_seen_after(self, frames: int) -> int:
        """Oldest window frame left once so many frames more are written; `end` or later if none is."""
        return max(self.origin + self.sink_slots, self.end + frames - self.window_slots)

    def in_sink(self, frame: int) -> bool:
        """Whether a frame's slot is in the sink, which is not overwritten."""
        return 0 <= frame - self.origin < self.sink_slots

    def has_left(self, frame: int) -> bool:
        """Whether a frame of the past stands neither in the sink nor in the window."""
        return frame < max(self.window_start, self.origin) and not self.in_sink(frame)

    def holds(self, frame: int) -> bool:
        """Whether sink or window hold a frame."""
        return self.origin <= frame < self.origin + self.sink or self.window_start <= frame < self.end

    def begin_anew(self) -> None:
        """Forget all frames: the next one is the first of a new story."""
        self.origin = self.began = self.end
        self.bank = 0
        self.jumps = ()

    def story_chunk(self, chunk: int, first_frame: int) -> int:
        """Number of a chunk within the present story. first_frame: its first latent frame."""
        return chunk - self.began * chunk // first_frame if self.began else chunk

    def slot(self, frame: int) -> int:
        """Slot of a sink or window frame."""
        local = frame - self.origin
        if local < self.sink_slots:
            return self.border + local
        return self.border + self.sink_slots + (local - self.sink_slots) % self.window_slots

    def runs(self, start: int, count: int) -> list[tuple[int, int, int]]:
        """(first slot, first frame counted from start, length) of each contiguous run that holds these frames."""
        runs: list[tuple[int, int, int]] = []
        for offset in range(count):
            slot = self.slot(start + offset)
            if runs and slot == runs[-1][0] + runs[-1][2]:
                runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + 1)
            else:
                runs.append((slot, offset, 1))
        return runs


def frames_of_slots(slots: Tensor, bank_frames: Tensor, first_sink_slot: int, origin: int) -> Tensor:
    """Latent frames in bank and sink slots.

    slots        [B, ...] int64 slot numbers.
    bank_frames  [B, bank slots] int64, as `KVCache.frames` of one layer.

    Returns int64 of the shape of `slots`.
    """
    flat = slots.flatten(1)
    in_bank = bank_frames.gather(1, flat.clamp(max=max(bank_frames.shape[1] - 1, 0))) if bank_frames.shape[1] else flat
    frames = torch.where(flat < first_sink_slot, in_bank, flat - first_sink_slot + origin)
    return frames.view_as(slots)
