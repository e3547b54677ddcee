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

from . import fp8


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


def part_names(in_fp8: bool) -> tuple[str, ...]:
    """What a cache keeps of each frame."""
    return ("k", "v", "mean_k", "scale_k", "scale_v") if in_fp8 else ("k", "v", "mean_k")


class KVCache:
    """Keys and values of all layers.

    k, v     [layers, B, heads, slots, tokens, head_dim]; k after RoPE where positions are absolute, before it
             where they are relative. Kept in fp8 they are bits, see `fp8`: ask `keys` and `values`.
    scale_k, scale_v  [layers, B, heads, slots] float32 where they are kept in fp8, else None.
    mean_k   [layers, B, heads, slots, head_dim] float32: mean key of each slot as it was written, all that relevance
             needs.
    frames   [layers, B, bank slots] int64: the latent frame in each bank slot, -1 where there is none.
    order    [layers, B, bank slots] int64: bank slots in the order the policy lists them.
    dtype    of the keys and values that are written and read.
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
        in_fp8: bool = False,
    ):
        if in_fp8:
            fp8.check_device(device)
        self.at, self.dtype = occupancy, dtype
        shape = (layers, batch, heads, occupancy.total, tokens, head_dim)
        self.k, self.v = (torch.zeros(shape, dtype=torch.uint8 if in_fp8 else dtype, device=device) for _ in "kv")
        self.scale_k, self.scale_v = (torch.zeros(shape[:4], device=device) if in_fp8 else None for _ in "kv")
        self.mean_k = torch.zeros((*shape[:4], head_dim), dtype=torch.float32, device=device)
        bank = occupancy.bank_slots
        self.frames = torch.full((layers, batch, bank), -1, dtype=torch.int64, device=device)
        # the bank grows leftwards from the border, so its first slot is the rightmost
        leftwards = torch.arange(bank - 1, -1, -1, dtype=torch.int64, device=device)
        self.order = leftwards.expand(layers, batch, bank).contiguous()

    @property
    def batch(self) -> int:
        return self.k.shape[1]

    @property
    def device(self) -> torch.device:
        return self.k.device

    @property
    def in_fp8(self) -> bool:
        return self.scale_k is not None

    @property
    def parts(self) -> dict[str, Tensor]:
        """All that is kept of a frame, by name: [layers, B, heads, slots, ...] each."""
        return {name: getattr(self, name) for name in part_names(self.in_fp8)}

    def keys(self, layer: int, slots: slice) -> Tensor:
        """Keys of some slots, [B, heads, slots, tokens, head_dim]: a view, or a copy where they are kept in fp8."""
        return self._read("k", layer, slots)

    def values(self, layer: int, slots: slice) -> Tensor:
        """Values of some slots, as `keys`."""
        return self._read("v", layer, slots)

    def _read(self, name: str, layer: int, slots: slice) -> Tensor:
        stored = getattr(self, name)[layer, :, :, slots]
        if not self.in_fp8:
            return stored
        return fp8.decode(stored, getattr(self, f"scale_{name}")[layer, :, :, slots], self.dtype)

    def write(self, layer: int, start: int, k: Tensor, v: Tensor, draft: bool = False) -> None:
        """Put frames start, start + 1, ... into their sink and window slots. k, v [B, heads, F, tokens, head_dim].

        draft  nobody will ask for the frames' mean keys before they are written again.
        """
        fresh = {} if draft else {"mean_k": k.mean(dim=3, dtype=torch.float32)}
        if self.in_fp8:
            (fresh["k"], fresh["scale_k"]), (fresh["v"], fresh["scale_v"]) = fp8.encode(k), fp8.encode(v)
        else:
            fresh |= {"k": k, "v": v}
        for slot, offset, length in self.at.runs(start, k.shape[2]):
            for name, part in fresh.items():
                getattr(self, name)[layer, :, :, slot : slot + length] = part[:, :, offset : offset + length]

    def forget_window(self) -> None:
        """Drop sink and window, keep the bank: the next frame is the first of a new shot."""
        self.at.origin = self.at.end

    def zero_window(self) -> None:
        """Overwrite sink and window with zeros, which attention then still reads."""
        border = self.at.border
        for part in self.parts.values():
            part[:, :, :, border:] = 0
