"""Memory bank: slots for older latent frames, and the operations that retrieval policies are made of.

Layers and batch items may hold different frames, so a slot is named by a tensor [layers, B] that never leaves the
device; only how many slots are in use is known to the host. `KVCache.order` lists the slots in use: oldest first,
unless the policy sorts them otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .cache import KVCache
from .frame_kv import Candidate, FrameKV
from .state_dict import StateDict


class MemoryBank:
    """Moves frames in and out of the bank slots of a cache.

    slots    how many bank slots the cache has.
    prompts  [layers, B, slots] int64: number of the prompt that the frame in each slot was made under, -1 for none.
    """

    def __init__(self, cache: KVCache):
        self.cache = cache
        self.slots = cache.layout.bank_slots
        self.prompts = torch.full_like(cache.frames, -1)
        self._free: list[FrameKV] = []

    # -- frames outside the bank --------------------------------------------------------------------------------------

    def view_frame(self, frame: int) -> FrameKV:
        """View a sink or window frame in its slot."""
        slot = self.cache.layout.slot(frame)
        return FrameKV(**{name: part[:, :, :, slot] for name, part in self.cache.parts.items()})

    def copy_frame(self, frame: int) -> FrameKV:
        """Copy a sink or window frame out of its slot."""
        return self.borrow(self.view_frame(frame))

    def gather_frame(self, frame: int) -> FrameKV:
        """Copy a frame that every layer's bank holds, each in a slot of its own."""
        place = (self.listed_frames() == frame).int().argmax(dim=-1, keepdim=True)
        slot = self.listed().gather(-1, place)[..., 0]
        row, item = self._rows(slot.device)
        return FrameKV(**{name: part[row, item, :, slot] for name, part in self.cache.parts.items()})

    def borrow(self, source: FrameKV) -> FrameKV:
        """Copy a frame from any device into buffers that `release` takes back: a steady stream allocates none."""
        if self._free:
            kv = self._free.pop()
        else:
            room = {name: torch.empty_like(part, device=self.cache.device) for name, part in source.parts.items()}
            kv = FrameKV(**room)
        for name, part in source.parts.items():
            kv.parts[name].copy_(part)
        return kv

    def release(self, kv: FrameKV) -> None:
        """Take a frame's buffers back for the next copy."""
        self._free.append(kv)

    # -- what the bank holds ------------------------------------------------------------------------------------------

    def filled(self) -> slice:
        """Bank slots in use."""
        return slice(self.slots - self.cache.layout.bank, self.slots)

    def listed(self, layers: slice = slice(None)) -> Tensor:
        """Slots in use in listed order, [layers, B, n] int64."""
        return self.cache.order[layers, :, : self.cache.layout.bank]

    def listed_frames(self, layers: slice = slice(None)) -> Tensor:
        """Latent frames in listed order, [layers, B, n] int64."""
        return self.cache.frames[layers].gather(-1, self.listed(layers))

    def listed_prompts(self) -> Tensor:
        """Prompt numbers in listed order, [layers, B, n] int64."""
        return self.prompts.gather(-1, self.listed())

    def holds(self, frame: int) -> bool:
        """Whether every layer's bank holds a frame. Waits for the device."""
        return bool((self.listed_frames() == frame).any(dim=-1).all())

    # -- changes ------------------------------------------------------------------------------------------------------

    def append(self, candidate: Candidate) -> None:
        """Fill the next free slot, the same in all layers."""
        self.cache.layout.bank += 1
        self.overwrite_newest(candidate)

    def overwrite_newest(self, candidate: Candidate) -> None:
        """Write a frame into the slot that was filled last."""
        slot = self.filled().start
        for cached, fresh in self._pairs(candidate):
            cached[:, :, :, slot] = fresh
        self.cache.frames[:, :, slot] = candidate.frame
        self.prompts[:, :, slot] = candidate.prompt

    def replace(self, place: Tensor, candidate: Candidate, wanted: Tensor, layers: slice = slice(None)) -> None:
        """Put a frame in place of the `place`-th listed one of a full bank, and list it last.

        place   [layers, B] int64, a different one in each layer and batch item.
        wanted  [layers, B] bool: where False, nothing changes.
        """
        row, item = self._rows(place.device, layers)
        slot = self.listed(layers).gather(-1, place[..., None])[..., 0]
        for cached, fresh in self._pairs(candidate):
            old = cached[row, item, :, slot]
            cached[row, item, :, slot] = torch.where(
                wanted.view(*wanted.shape, *[1] * (old.ndim - 2)), fresh[layers], old
            )
        for tags, tag in ((self.cache.frames, candidate.frame), (self.prompts, candidate.prompt)):
            tags[row, item, slot] = torch.where(wanted, tag, tags[row, item, slot])
        self._list_last(torch.where(wanted, place, self.slots - 1), layers)

    def assign(self, frames: Tensor, prompts: Tensor) -> None:
        """Say which frames stand in the bank from now on, the same in all layers; `put` writes their keys.

        frames, prompts  [B, n] int64, n at most `slots`.
        """
        count = frames.shape[1]
        self.cache.layout.bank = count
        self.cache.order.copy_(torch.arange(self.slots - 1, -1, -1, device=self.cache.order.device))
        for tags, values in ((self.cache.frames, frames), (self.prompts, prompts)):
            tags.fill_(-1)
            tags[:, :, self.slots - count :] = values.flip(-1).to(tags.device)

    def clear(self) -> None:
        """Forget every frame."""
        nothing = torch.zeros(self.cache.batch, 0, dtype=torch.int64)
        self.assign(nothing, nothing)

    def put(self, frame: int, kv: FrameKV) -> None:
        """Write a frame's keys into every slot that `assign` gave it, before layers differ in what they hold."""
        for item, slot in (self.cache.frames[0] == frame).nonzero().tolist():
            for name, part in self.cache.parts.items():
                part[:, item, :, slot] = kv.parts[name][:, item]

    def state_dict(self) -> StateDict:
        """Prompt numbers of the slots; keys, values and frames are the cache's."""
        return StateDict({"prompts": self.prompts})

    def load_state_dict(self, state: StateDict) -> None:
        self.prompts.copy_(state.tensors["prompts"])

    def _rows(self, device: torch.device, layers: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Indices of layers [layers, 1] and of batch items [1, B]."""
        row = torch.arange(self.cache.layers, device=device)[layers, None]
        return row, torch.arange(self.cache.batch, device=device)[None]

    def _pairs(self, candidate: Candidate) -> tuple[tuple[Tensor, Tensor], ...]:
        """(tensor of the cache, tensor of the frame) for each part."""
        return tuple((self.cache.parts[name], part) for name, part in candidate.copied.parts.items())

    def _list_last(self, place: Tensor, layers: slice) -> None:
        turn = torch.arange(self.slots, device=place.device).expand(*place.shape, -1)
        turn = torch.where(turn == place[..., None], self.slots, turn).argsort(dim=-1)
        self.cache.order[layers] = self.cache.order[layers].gather(-1, turn)
