"""The KV cache of a stream: bank, sink and window in one row of slots per layer.

A slot is room for one latent frame's keys and values. Frames are written once, in place, and never move:

    | bank: grows from right to left | sink | window: a ring |
                                     ^ fixed border

Attention does not care in which order keys stand, so the valid slots need only be one contiguous stretch, and
dense attention is one call on a view. Which frame stands where in sink and window follows from two integers;
which frames a layer's bank holds is decided on the device (`frames`), layer by layer, without asking the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Occupancy:
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


def cache_nbytes(layers: int, batch: int, dim: int, tokens: int, slots: int, dtype: torch.dtype) -> int:
    """Bytes of keys and values of that many slots; dim is heads x head_dim."""
    return 2 * layers * batch * slots * tokens * dim * dtype.itemsize


class KVCache:
    """Keys and values of all layers.

    k, v     [layers, B, heads, slots, tokens, head_dim]; k after RoPE where positions are absolute, before it
             where they are relative.
    mean_k   [layers, B, heads, slots, head_dim] float32: mean key of each slot, all that relevance needs.
    frames   [layers, B, bank slots] int64: the latent frame in each bank slot, -1 where there is none.
    order    [layers, B, bank slots] int64: bank slots in the order the policy lists them.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        tokens: int,
        head_dim: int,
        occupancy: Occupancy,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        self.at = occupancy
        shape = (layers, batch, heads, occupancy.total, tokens, head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        self.mean_k = torch.zeros((*shape[:4], head_dim), dtype=torch.float32, device=device)
        bank = occupancy.bank_slots
        self.frames = torch.full((layers, batch, bank), -1, dtype=torch.int64, device=device)
        # the bank grows leftwards from the border, so its first slot is the rightmost
        leftwards = torch.arange(bank - 1, -1, -1, dtype=torch.int64, device=device)
        self.order = leftwards.expand(layers, batch, bank).contiguous()

    @property
    def batch(self) -> int:
        return self.k.shape[1]

    def write(self, layer: int, start: int, k: Tensor, v: Tensor, draft: bool = False) -> None:
        """Put frames start, start + 1, ... into their sink and window slots. k, v [B, heads, F, tokens, head_dim].

        draft  nobody will ask for the frames' mean keys before they are written again.
        """
        for slot, offset, length in self.at.runs(start, k.shape[2]):
            to, take = slice(slot, slot + length), slice(offset, offset + length)
            self.k[layer, :, :, to] = k[:, :, take]
            self.v[layer, :, :, to] = v[:, :, take]
            if not draft:
                self.mean_k[layer, :, :, to] = k[:, :, take].mean(dim=3, dtype=torch.float32)

    def forget_window(self) -> None:
        """Drop sink and window, keep the bank: the next frame is the first of a new shot."""
        self.at.origin = self.at.end

    def zero_window(self) -> None:
        """Overwrite sink and window with zeros, which attention then still reads."""
        border = self.at.border
        for tensor in (self.k, self.v, self.mean_k):
            tensor[:, :, :, border:] = 0
