"""Versions of the state file: which of them can be read, and converters from older ones to today's.

A version is readable while it is one of the two before today's, and has a converter to the one after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..memory import UNKNOWN, SlotLayout
from .format import EXACT, READABLE, VERSION
from .settings import memory_of
from .values import check_finite, named_problems

State = tuple[dict[str, Tensor], dict[str, Any]]


def to_current(tensors: dict[str, Tensor], meta: dict[str, Any]) -> State:
    """Tensors and JSON of a readable version as those of today's. They still have to be checked.

    Raises ValueError, with what is wrong as the end of a sentence, for a file that cannot be converted.
    """
    with named_problems():
        while meta["version"] != VERSION:
            tensors, meta = _CONVERTERS[meta["version"]](tensors, meta)
    return tensors, meta


def refusal(version: object) -> str | None:
    """What is wrong with a version, as the end of a sentence; None if it can be read."""
    if version in READABLE and not isinstance(version, bool):
        return None
    known = " and ".join(map(str, READABLE))
    return f"holds a stream state of version {_short(version)}, but this program reads versions {known}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


_SINCE_1 = ("chunk", "prompts", "text_known", "seed", "positions", "shape", "memory", "sampling", "at", "offers")


def _from_1(tensors: dict[str, Tensor], meta: dict[str, Any]) -> State:
    """Version 1 was always exact, had no names for pins, and did not keep what its keys were made of."""
    _check_numbers(tensors)
    made = dict(tensors)
    text = made["text.0"] = made.pop("text")
    new = {name: meta[name] for name in _SINCE_1}
    new |= {"version": 2, "content": EXACT, "prompt": meta["prompts"] - 1, "text": 0, "texts": [text.shape[1]]}
    new["dtype"] = str(made["k"].dtype).removeprefix("torch.")
    if memory_of(meta).retrieval == "reference":
        new["promised"] = meta["promised"]
    else:
        new |= {"pins": meta["pins"], "named": [], "kept": [], "recalled": []}
    if "next" in meta:
        made["text.1"] = _as_many(made.pop("next.text"), len(text))
        new["texts"] = [text.shape[1], made["text.1"].shape[1]]
        new["next"] = {"text": 1, "switch": meta["next"]["switch"], "noise": meta["next"]["seed"]}
        new["next"] |= {"blend_chunks": 4, "blend_path": "linear", "recall": []}
    new["ledger"] = _unknown_ledger(tensors, meta)
    return made, new


_CONVERTERS: dict[int, Callable[[dict[str, Tensor], dict[str, Any]], State]] = {1: _from_1}


def _check_numbers(tensors: dict[str, Tensor]) -> None:
    """A file without a checksum may be damaged anywhere; this finds some of it."""
    for name, tensor in tensors.items():
        check_finite(name, tensor)


def _as_many(text: Tensor, batch: int) -> Tensor:
    if text.ndim != 3 or len(text) not in (1, batch):
        raise ValueError(f"'next.text' has shape {list(text.shape)}")
    return text.expand(batch, -1, -1)


def _unknown_ledger(tensors: dict[str, Tensor], meta: dict[str, Any]) -> dict[str, Any]:
    """Provenance in which every frame that is held has a write of kind `unknown`."""
    memory, frames = memory_of(meta), tensors["frames"]
    if frames.dtype != torch.int64:
        raise ValueError(f"'frames' is {frames.dtype}")
    layout = SlotLayout(memory.sink_frames, memory.window_frames, memory.bank_slots, **meta["at"])
    copied = set(frames[..., layout.bank_slots - layout.bank :].unique().tolist())
    # those that are safe in the sink included: at a cut they are copied too
    copied |= {frame for frame, _, _ in meta["offers"]}
    numbers = {frame: number for number, frame in enumerate(sorted(layout.standing | copied))}
    writes = [_unknown_write(frame, [frame] if frame in layout.standing else []) for frame in numbers]
    return {"frames": [], "writes": writes, "sources": [[frame, numbers[frame]] for frame in sorted(copied)]}


def _unknown_write(frame: int, standing: list[int]) -> dict[str, Any]:
    span = {"start": frame, "frames": 1, "unwritten": 0}
    return {"kind": UNKNOWN, **span, "text": 0, "timestep": 0.0, "standing": standing}
