"""Which cache slot holds which latent frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FrameSpan:
    """The latent frames of one forward. The first `unwritten` of them only ask: their keys are not stored."""

    start: int
    frames: int
    unwritten: int = 0


@dataclass
class SlotLayout:
    """Which slots are taken, in host integers. Latent frames count from `origin`, the frame of the last cut.

    end   one past the newest latent frame written.
    bank  bank slots in use, the same in every layer.
    """

    sink_slots: int
    window_slots: int
    bank_slots: int
    origin: int = 0
    end: int = 0
    bank: int = 0

    @property
    def border(self) -> int:
        """Index of the first sink slot."""
        return self.bank_slots

    @property
    def total(self) -> int:
        return self.bank_slots + self.sink_slots + self.window_slots

    @property
    def sink(self) -> int:
        """Sink slots filled."""
        return min(self.end - self.origin, self.sink_slots)

    @property
    def window(self) -> int:
        """Window slots filled; the window holds the newest frames that are not sink."""
        return max(0, min(self.end - self.origin - self.sink_slots, self.window_slots))

    @property
    def window_start(self) -> int:
        """Oldest latent frame in the window."""
        return self.end - self.window

    def first_seen_after(self, frames: int) -> int:
        """Oldest window frame that is still there when so many frames more are written; `end` or later if none is."""
        return max(self.origin + self.sink_slots, self.end + frames - self.window_slots)

    def in_sink(self, frame: int) -> bool:
        """Whether a frame's place is in the sink, which is not overwritten."""
        return 0 <= frame - self.origin < self.sink_slots

    def stands(self, frame: int) -> bool:
        """Whether a frame stands in sink or window."""
        return self.origin <= frame < self.origin + self.sink or self.window_start <= frame < self.end

    def slot(self, frame: int) -> int:
        """Where a sink or window frame stands."""
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
    """Latent frames behind sink and bank slot numbers. slots [B, ...], bank_frames [B, bank slots] -> as slots."""
    flat = slots.flatten(1)
    in_bank = bank_frames.gather(1, flat.clamp(max=max(bank_frames.shape[1] - 1, 0))) if bank_frames.shape[1] else flat
    frames = torch.where(flat < first_sink_slot, in_bank, flat - first_sink_slot + origin)
    return frames.view_as(slots)
