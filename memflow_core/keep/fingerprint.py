"""Fingerprints of tensors and models: every number counts, none is sampled.

A tensor's bytes are taken as 64-bit words and summed with pseudo-random odd weights, modulo 2^64. That runs on any
device at the speed of its memory, so a model is not copied to be told from another. It finds changes, not intent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_BLOCK = 2**18  # words that are weighed together
_WORD = 8  # bytes


class Fingerprint:
    """A digest that tensors, texts and JSON values are added to, one after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, name: str, value: Any) -> None:
        """Add a tensor, or a value that JSON can hold. Raises TypeError for anything else."""
        shown = ["tensor", fingerprint(value)] if isinstance(value, Tensor) else ["value", value]
        self._digest.update(json.dumps([name, *shown], sort_keys=True).encode() + b"\n")

    def hex(self) -> str:
        """The digest so far, 32 hexadecimal digits."""
        return self._digest.hexdigest()[:32]


def fingerprint(tensor: Tensor) -> str:
    """Fingerprint a tensor of any dtype, shape and device: dtype, shape, and a 64-bit sum over all of its bytes."""
    data = tensor.detach()
    label = f"{str(data.dtype).removeprefix('torch.')} {list(data.shape)}"
    return f"{label} {_weighed(data):016x}"


def tree_fingerprint(tree: Any, also: Iterable[tuple[str, Any]] = ()) -> str:
    """Fingerprint a module's parameters and buffers, with whatever else is named in `also`."""
    found = Fingerprint()
    for name, tensor in sorted([*tree.named_parameters(), *tree.named_buffers()], key=lambda entry: entry[0]):
        found.add(name, tensor)
    for name, value in also:
        found.add(name, value)
    return found.hex()


def machine_of(device: torch.device | str, dtype: torch.dtype) -> list[str]:
    """What decides how sums are rounded, beside the weights: torch, the device, the precision."""
    device = torch.device(device)
    # on a CPU, sums are split among threads
    name = f"{device.type} {torch.get_num_threads()}"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return [torch.__version__, name, str(dtype).removeprefix("torch.")]


@torch.inference_mode()
def _weighed(tensor: Tensor) -> int:
    flat = tensor.contiguous().flatten()
    total = 0
    if not flat.numel():
        return total
    # in pieces, so that no copy of a large tensor is made
    for place, piece in enumerate(flat.split(max(1, _BLOCK * _WORD // flat.element_size()))):
        words = _words(piece)
        total = (total + _mixed(place) * (int((words * _weights(words.device)[: len(words)]).sum()) & _MASK)) & _MASK
    return total


def _words(piece: Tensor) -> Tensor:
    """A flat tensor's bytes as int64 words, zeros behind its end."""
    as_bytes = piece.contiguous().view(torch.uint8)
    missing = -len(as_bytes) % _WORD
    if missing or as_bytes.storage_offset() % _WORD:
        as_bytes = torch.cat((as_bytes, as_bytes.new_zeros(missing)))
    return as_bytes.view(torch.int64)


@cache
def _weights(device: torch.device) -> Tensor:
    """Odd numbers, so that a change of any one word changes the sum."""
    drawn = torch.randint(
        -(2**62), 2**62, (_BLOCK,), generator=torch.Generator("cpu").manual_seed(14), dtype=torch.int64
    )
    return (2 * drawn + 1).to(device)


def _mixed(place: int) -> int:
    """An odd number for a block's place (the output function of splitmix64)."""
    mixed = ((place + 1) * 0x9E3779B97F4A7C15) & _MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & _MASK
    return (mixed ^ (mixed >> 31)) | 1
