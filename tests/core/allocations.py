"""What torch allocates while something runs, counted on a CPU."""

from __future__ import annotations

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """Bytes of tensors that were made under it: alive `now`, alive at most (`peak`), and of the `largest` one."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        known = {tensor.untyped_storage()._cdata for tensor in tree_leaves((args, kwargs)) if torch.is_tensor(tensor)}
        for tensor in tree_leaves(made):
            # not the views of what was there before
            if torch.is_tensor(tensor) and tensor.untyped_storage()._cdata not in known:
                self._watch(tensor.untyped_storage())
        return made

    def _watch(self, storage) -> None:
        size = storage.nbytes()
        self.now += size
        self.peak, self.largest = max(self.peak, self.now), max(self.largest, size)
        weakref.finalize(storage, self._gone, size)

    def _gone(self, size: int) -> None:
        self.now -= size
