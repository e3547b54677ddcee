"""KV cache of a stream: bank, sink and window in one row of slots per layer.

A slot is room for one latent frame's keys and values. Frames are written once, in place, and never move:

    | bank: grows from right to left | sink | window: a ring |
                                     ^ fixed border

Attention does not depend on the order of keys, so the slots in use only have to be one contiguous stretch, and dense
attention is one call on a view. Which frame is in which sink or window slot follows from two integers of the layout;
which frames a layer's bank holds is decided on the device (`frames`), layer by layer, without a read by the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from ..model import AllHeads, HeadShare, fp8
from .layout import SlotLayout
from .state_dict import StateDict


def part_names(in_fp8: bool) -> tuple[str, ...]:
    """Names of the tensors that a cache keeps of each frame."""
    return ("k", "v", "mean_k", "scale_k", "scale_v") if in_fp8 else ("k", "v", "mean_k")


@dataclass(frozen=True)
class Stretch:
    """Keys and values of neighbouring slots of one layer.

    k, v    [B, heads, n, tokens, head_dim]; where `scales` are given, bits of fp8.
    mean_k  [B, heads, n, head_dim] float32.
    scales  of k and of v, [B, heads, n] float32 each; None where they are not kept in fp8.
    """

    k: Tensor
    v: Tensor
    mean_k: Tensor
    scales: tuple[Tensor, Tensor] | None = None

    @cached_property
    def rows_k(self) -> Tensor:
        """Keys as [B, heads, n * tokens, head_dim]."""
        return self.k.flatten(2, 3)

    @cached_property
    def rows_v(self) -> Tensor:
        """Values as [B, heads, n * tokens, head_dim]."""
        return self.v.flatten(2, 3)

    def decoded(self, dtype: torch.dtype) -> Stretch:
        """A copy of fp8 in another dtype."""
        assert self.scales is not None
        k, v = (fp8.decode(bits, scale, dtype) for bits, scale in zip((self.k, self.v), self.scales, strict=True))
        return Stretch(k, v, self.mean_k)

    def encode(self, k: Tensor, v: Tensor) -> None:
        """Write k and v [B, heads, n * tokens, head_dim] in fp8."""
        assert self.scales is not None
        bits, scales = fp8.encode(torch.stack((k, v)).unflatten(3, self.k.shape[2:4]))
        for to, new in zip((self.k, self.v, *self.scales), (*bits, *scales), strict=True):
            to.copy_(new)


class KVCache:
    """Keys and values of all layers.

    k, v     [layers, B, heads, slots, tokens, head_dim]; k after RoPE where positions are absolute, before it
             where they are relative. Kept in fp8 they are bits (see `memflow_core.model.fp8`): read them with
             `read`.
    scale_k, scale_v  [layers, B, heads, slots] float32 where they are kept in fp8, else None.
    mean_k   [layers, B, heads, slots, head_dim] float32: mean key of each slot as it was written, which relevance is
             computed from.
    frames   [layers, B, bank slots] int64: the latent frame in each bank slot, -1 where there is none.
    order    [layers, B, bank slots] int64: bank slots in the order the policy lists them.
    layout   which slots are in use.
    dtype    of the keys and values that are written and read.
    share    which of the model's heads these are.
    """

    def __init__(
        self,
        layout: SlotLayout,
        *,
        layers: int,
        batch: int,
        heads: int,
        tokens: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        in_fp8: bool = False,
        share: HeadShare | None = None,
    ):
        """share: None where the heads are all that the model has. Raises ValueError for fp8 where a device has none."""
        if in_fp8:
            fp8.check_device(device)
        self.layout = layout
        self.dtype = dtype
        self.share = AllHeads(heads) if share is None else share
        slots = (layers, batch, heads, layout.total)
        stored = torch.uint8 if in_fp8 else dtype
        self.k = torch.zeros((*slots, tokens, head_dim), dtype=stored, device=device)
        self.v = torch.zeros_like(self.k)
        self.scale_k = torch.zeros(slots, device=device) if in_fp8 else None
        self.scale_v = torch.zeros(slots, device=device) if in_fp8 else None
        self.mean_k = torch.zeros((*slots, head_dim), dtype=torch.float32, device=device)
        bank = layout.bank_slots
        self.frames = torch.full((layers, batch, bank), -1, dtype=torch.int64, device=device)
        # the bank grows leftwards from the border, so its first slot is the rightmost
        leftwards = torch.arange(bank - 1, -1, -1, dtype=torch.int64, device=device)
        self.order = leftwards.expand(layers, batch, bank).contiguous()
        self._stretches: dict[tuple[int, int, int], Stretch] = {}

    def like(self, layout: SlotLayout) -> KVCache:
        """An empty cache with other slots for the same layers, batch, heads and numbers."""
        layers, batch, heads, _, tokens, head_dim = self.k.shape
        return KVCache(
            layout,
            layers=layers,
            batch=batch,
            heads=heads,
            tokens=tokens,
            head_dim=head_dim,
            dtype=self.dtype,
            device=self.device,
            in_fp8=self.in_fp8,
            share=self.share,
        )

    @property
    def layers(self) -> int:
        return self.k.shape[0]

    @property
    def batch(self) -> int:
        return self.k.shape[1]

    @property
    def tokens(self) -> int:
        """Tokens of a latent frame."""
        return self.k.shape[-2]

    @property
    def device(self) -> torch.device:
        return self.k.device

    @property
    def frame_bytes(self) -> int:
        """Bytes of all that is kept of a latent frame, in all layers and for all heads of the model: the same in all
        processes that share them."""
        # [layers, B, heads, slots, ...]
        numbers = (part.element_size() * prod((*part.shape[:2], *part.shape[4:])) for part in self.parts.values())
        return sum(numbers) * self.share.total

    @property
    def in_fp8(self) -> bool:
        return self.scale_k is not None

    @property
    def parts(self) -> dict[str, Tensor]:
        """All tensors that are kept of each frame, by name: [layers, B, heads, slots, ...] each."""
        return {name: getattr(self, name) for name in part_names(self.in_fp8)}

    def read(self, layer: int, slots: slice) -> Stretch:
        """Keys and values of neighbouring slots in `dtype`: views, or copies where they are kept in fp8."""
        stored = self._stretch(layer, slots.start, slots.stop)
        return stored if stored.scales is None else stored.decoded(self.dtype)

    def _stretch(self, layer: int, start: int, stop: int) -> Stretch:
        """Views of slots start ... stop - 1, kept: making them takes a host longer than launching an attention."""
        found = self._stretches.get((layer, start, stop))
        if found is None:
            k, v, mean_k = (part[layer, :, :, start:stop] for part in (self.k, self.v, self.mean_k))
            scales = None
            if self.scale_k is not None and self.scale_v is not None:
                scales = self.scale_k[layer, :, :, start:stop], self.scale_v[layer, :, :, start:stop]
            found = self._stretches[layer, start, stop] = Stretch(k, v, mean_k, scales)
        return found

    def write(
        self, layer: int, runs: Sequence[tuple[int, int, int]], k: Tensor, v: Tensor, draft: bool = False
    ) -> None:
        """Write frames into their sink and window slots.

        runs   where they go: `SlotLayout.runs`.
        k, v   [B, heads, L, head_dim], the tokens of all these frames in their order; k in `dtype`, or in float32,
               which is rounded.
        draft  the frames are written again before their mean keys are read, so these are not computed.
        """
        if self.in_fp8 or not draft:
            k = k.to(self.dtype)
        means = None if draft else k.unflatten(2, (-1, self.tokens)).mean(dim=3, dtype=torch.float32)
        for slot, offset, length in runs:
            to = self._stretch(layer, slot, slot + length)
            first, tokens = offset * self.tokens, length * self.tokens
            new_k, new_v = (k, v) if tokens == k.shape[2] else (x.narrow(2, first, tokens) for x in (k, v))
            if to.scales is None:
                to.rows_k.copy_(new_k)
                to.rows_v.copy_(new_v)
            else:
                to.encode(new_k, new_v)
            if means is not None:
                to.mean_k.copy_(means.narrow(2, offset, length))

    def slots(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of all slots of a layer, [B, heads, slots, tokens, head_dim] each, to write to: views."""
        whole = self._stretch(layer, 0, self.layout.total)
        return whole.k, whole.v

    def mean_keys(self, layer: int, runs: Sequence[tuple[int, int, int]]) -> None:
        """Compute mean keys of frames that were written to `slots`; runs as in `write`."""
        for slot, _, length in runs:
            to = self._stretch(layer, slot, slot + length)
            torch.mean(to.k, dim=3, dtype=torch.float32, out=to.mean_k)

    def forget_window(self) -> None:
        """Drop sink and window, keep the bank: the next frame is the first of a new shot."""
        self.layout.origin = self.layout.end

    def zero_window(self) -> None:
        """Overwrite sink and window with zeros, which attention then still reads."""
        border = self.layout.border
        for part in self.parts.values():
            part[:, :, :, border:] = 0

    def state_dict(self) -> StateDict:
        """Keys and values of the slots in use (views), bank tables, and the layout."""
        layout = self.layout
        tensors = {name: part[:, :, :, layout.in_use] for name, part in self.parts.items()}
        tensors |= {"frames": self.frames, "order": self.order}
        at = {"origin": layout.origin, "end": layout.end, "bank": layout.bank}
        meta = {"dtype": str(self.dtype).removeprefix("torch."), "at": at}
        # what streams without them lack, earlier code can read
        later = {"jumps": list(layout.jumps), "began": layout.began}
        return StateDict(tensors, meta | {name: value for name, value in later.items() if value})

    def load_state_dict(self, state: StateDict) -> None:
        """Layout and bank tables; keys and values where the state has them, which a compact one does not."""
        at = state.meta["at"]
        self.layout.origin = at["origin"]
        self.layout.end = at["end"]
        self.layout.bank = at["bank"]
        self.layout.jumps = tuple(state.meta.get("jumps", ()))
        self.layout.began = state.meta.get("began", 0)
        self.frames.copy_(state.tensors["frames"])
        self.order.copy_(state.tensors["order"])
        if "k" not in state.tensors:
            return
        for name, part in self.parts.items():
            part[:, :, :, self.layout.in_use] = state.tensors[name].to(self.device)
