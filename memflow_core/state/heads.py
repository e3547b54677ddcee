"""Heads of a state: all of the model's, also where the stream's processes hold a part of them each.

A state of a stream on several processes is that of one process, so it goes on in any number of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..memory import part_names
from ..model import HeadShare

HEADS = 2  # the dimension of heads in every tensor that has one: [layers, B, heads, ...]
OUTSIDE = ("offer.", "kept.", "archived.")  # keys and values of frames outside the cache


def has_heads(name: str) -> bool:
    """Whether a state's tensor of this name has a row for each head."""
    return name in part_names(in_fp8=True) or name.startswith(OUTSIDE)


def with_all_heads(name: str, tensor: Tensor, share: HeadShare) -> Tensor:
    """A copy on the CPU of a stream's tensor, with the heads of all processes. Each of them must call it."""
    if share.alone or not has_heads(name):
        return tensor.detach().to("cpu", copy=True)
    # layer by layer: a device that holds its share may have no room for all
    layers = (share.gather([layer], dim=HEADS - 1)[0] for layer in tensor.detach())
    return torch.stack([layer.cpu() for layer in layers])


def own_heads(tensors: dict[str, Tensor], share: HeadShare) -> dict[str, Tensor]:
    """The tensors of a state, less the heads of other processes: views."""
    return {name: tensor[:, :, share.own] if has_heads(name) else tensor for name, tensor in tensors.items()}
