"""KV cache of a stream: bank, sink and window in one row of slots per layer.

A slot is room for one latent frame's keys and values. Frames are written once, in place, and never move:

    | bank: grows from right to left | sink | window: a ring |
                                     ^ fixed border

Attention does not depend on the order of keys, so the slots in use only have to be one contiguous stretch, and dense
attention is one call on a view. Which frame is in which sink or window slot follows from two integers of the layout;
which frames a layer's bank holds is decided on the device (`frames`), layer by layer, without a read by the host.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import AllHeads, HeadShare, fp8
from .layout import SlotLayout
from .state_dict import StateDict


def part_names(in_fp8: bool) -> tuple[str, ...]:
    """Names of the tensors that a cache keeps of each frame."""
    return ("k", "v", "mean_k", "scale_k", "scale_v") if in_fp8 else ("k", "v", "mean_k")


class KVCache:
    """Keys and values of all layers.

    k, v     [layers, B, heads, slots, tokens, head_dim]; k after RoPE where positions are absolute, before it
             where they are relative. Kept in fp8 they are bits (see `memflow_core.model.fp8`): read them with `keys`
             and `values`.
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

    @property
    def layers(self) -> int:
        return self.k.shape[0]

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
        """All tensors that are kept of each frame, by name: [layers, B, heads, slots, ...] each."""
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
        """Write frames start, start + 1, ... into their sink and window slots. k, v [B, heads, F, tokens, head_dim].

        draft  the frames are written again before their mean keys are read, so these are not computed.
        """
        fresh = {} if draft else {"mean_k": k.mean(dim=3, dtype=torch.float32)}
        if self.in_fp8:
            fresh["k"], fresh["scale_k"] = fp8.encode(k)
            fresh["v"], fresh["scale_v"] = fp8.encode(v)
        else:
            fresh |= {"k": k, "v": v}
        for slot, offset, length in self.layout.runs(start, k.shape[2]):
            for name, part in fresh.items():
                getattr(self, name)[layer, :, :, slot : slot + length] = part[:, :, offset : offset + length]

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
