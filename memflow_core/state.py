"""A stream's state as a value: what a stream needs to go on exactly where it stood.

A state is taken between chunks and shares no memory with the stream. Resumed on the same machine with the same
model, the stream makes the same numbers as if it had never stopped.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .backbone import Backbone
from .bank import Offer, Prototype
from .config import MemoryConfig, SamplingConfig
from .memory import NarrativeMemory
from .noise import SeededNoise
from .pins import NamedPin
from .prompt import TextBlend
from .stream import Forward, LatentShape, Stream

PARTS = ("k", "v", "mean_k")  # of a prototype
FORMAT = "memflow-stream-state"
VERSION = 2


@dataclass(frozen=True)
class StreamState:
    """tensors on the CPU, and `meta`, which is JSON. Treat both as read-only: other streams may start from them."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    @property
    def chunks(self) -> int:
        """Chunks made so far."""
        return self.meta["chunk"]

    @property
    def shape(self) -> LatentShape:
        return LatentShape(**self.meta["shape"])

    @property
    def memory(self) -> MemoryConfig:
        return MemoryConfig(**{**self.meta["memory"], "pins": tuple(self.meta["memory"]["pins"])})

    @property
    def sampling(self) -> SamplingConfig:
        return SamplingConfig(**{**self.meta["sampling"], "steps": tuple(self.meta["sampling"]["steps"])})

    @property
    def pins(self) -> list[tuple[int, str | None]]:
        """Latent frames that are pinned and their names, by frame."""
        for_good = [(frame, None) for frame in self.meta.get("pins", [])]
        named = [(frame, name) for name, frame in self.meta.get("named", [])]
        return sorted([*for_good, *named], key=lambda pin: (pin[0], pin[1] or ""))

    @property
    def trace(self) -> list[dict[str, Any]]:
        return json.loads(bytes(self.tensors["trace"].numpy()))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        header = {"format": FORMAT, "meta": json.dumps(self.meta)}
        save_file({name: tensor.contiguous() for name, tensor in self.tensors.items()}, path, metadata=header)

    @staticmethod
    def load(path: str | Path) -> StreamState:
        """Read a file that `save` wrote. Raises FileNotFoundError or ValueError in one sentence."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no stream state at {path}.")
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            meta = json.loads(header["meta"]) if header.get("format") == FORMAT else None
        except (SafetensorError, json.JSONDecodeError, KeyError, OSError) as error:
            raise ValueError(f"{Path(path).name} is damaged or not a safetensors file: {error}") from error
        if meta is None:
            raise ValueError(f"{Path(path).name} is not a stream state: use a file that was saved from a stream.")
        if meta.get("version") != VERSION:
            raise ValueError(
                f"{Path(path).name} holds a stream state of version {meta.get('version')}, but this program "
                f"reads version {VERSION}."
            )
        return StreamState(tensors, meta)


def capture(stream: Stream) -> StreamState:
    """The state of a stream between two chunks.

    Raises ValueError before the first chunk, after a chunk that broke off inside, or for noise without a seed.
    """
    if stream.broken or stream.progress.chunk == 0:
        raise ValueError("a stream has a state only between finished chunks: make a chunk first.")
    if not isinstance(stream.noise, SeededNoise):
        raise ValueError("only a stream with seeded noise has a state that can be saved.")
    tensors, meta = _capture_cache(stream), _capture_meta(stream)
    _capture_prompts(stream, tensors, meta)
    _capture_offers(stream, tensors, meta)
    trace = json.dumps(stream.trace.records, separators=(",", ":")).encode()
    tensors["trace"] = torch.from_numpy(np.frombuffer(trace, dtype=np.uint8).copy())
    return StreamState({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, meta)


def resume(
    state: StreamState,
    backbone: Backbone,
    device: torch.device | str = "cpu",
    on_forward: Callable[[Forward], None] | None = None,
    pin_device: torch.device | str | None = None,
) -> Stream:
    """A new stream that goes on from a state, which stays as it is. Raises ValueError if the model does not fit."""
    meta = state.meta
    layers, heads, head_dim = state.tensors["k"].shape[0], state.tensors["k"].shape[2], state.tensors["k"].shape[-1]
    if (layers, heads, head_dim) != (backbone.layers, backbone.heads, backbone.head_dim):
        raise ValueError(
            f"the state belongs to a model of {layers} layers and {heads} heads of {head_dim}, but the model "
            f"given has {backbone.layers} layers and {backbone.heads} heads of {backbone.head_dim}."
        )
    if state.tensors["k"].dtype != backbone.dtype:
        raise ValueError(
            f"the state was made in {state.tensors['k'].dtype}, but the model computes in {backbone.dtype}."
        )
    stream = Stream(
        backbone,
        state.shape,
        state.memory,
        state.sampling,
        meta["seed"],
        device=device,
        on_forward=on_forward,
        positions=meta["positions"],
        pin_device=pin_device,
    )
    with torch.inference_mode():
        _restore_cache(stream, state)
        _restore_progress(stream, state)
        _restore_offers(stream, state)
        _restore_waiting(stream, state)
    stream.trace.extend(state.trace)
    return stream


def _stretch(stream: Stream) -> slice:
    """Slots that hold frames."""
    at = stream.cache.at
    return slice(at.border - at.bank, at.border + at.sink_slots + at.window)


def _capture_cache(stream: Stream) -> dict[str, Tensor]:
    cache, held = stream.cache, _stretch(stream)
    return {
        "k": cache.k[:, :, :, held],
        "v": cache.v[:, :, :, held],
        "mean_k": cache.mean_k[:, :, :, held],
        "frames": cache.frames,
        "order": cache.order,
        "prompts": stream.memory.bank.prompts,
        "recent": torch.cat(tuple(stream.progress.recent), dim=2),
    }


def _capture_meta(stream: Stream) -> dict[str, Any]:
    at, progress = stream.cache.at, stream.progress
    return {
        "version": VERSION,
        "chunk": progress.chunk,
        "prompts": progress.prompts,
        "text_known": progress.text_known,
        "seed": stream.noise.seed,
        "positions": stream.positions,
        "shape": asdict(stream.shape),
        "memory": asdict(stream.memory_config),
        "sampling": asdict(stream.sampling),
        "at": {"origin": at.origin, "end": at.end, "bank": at.bank},
    }


def _capture_prompts(stream: Stream, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    tensors["text"] = stream.prompt_text
    if stream.blend is not None:
        tensors["blend.before"] = stream.blend.before
        meta["blend"] = {"chunks": stream.blend.chunks, "path": stream.blend.path, "done": stream.blend.done}
    if stream.waiting is not None:
        change = stream.waiting
        tensors["next.text"] = change.text
        meta["next"] = {
            "switch": change.switch,
            "noise": change.noise.seed if isinstance(change.noise, SeededNoise) else None,
            "blend_chunks": change.blend_chunks,
            "blend_path": change.blend_path,
            "recall": list(change.recall),
        }


def _capture_offers(stream: Stream, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    memory = stream.memory
    if isinstance(memory, NarrativeMemory):
        offers, meta["pins"] = list(memory.offers), sorted(memory.pins.frames)
        meta["recalled"] = list(memory.pins.recalled)
        tensors["pooled"] = torch.stack(memory.pooled)
        meta["named"] = [[name, pin.frame] for name, pin in memory.pins.named.items()]
        meta["kept"] = _put("kept", [pin.kept for pin in memory.pins.named.values()], tensors)
    else:
        offers, meta["promised"] = [memory.newest] if memory.newest is not None else [], memory.promised
    meta["offers"] = _put("offer", offers, tensors)


def _put(kind: str, offers: Sequence[Offer | None], tensors: dict[str, Tensor]) -> list[list | None]:
    """What is to be known of each offer; its keys and values go into `tensors`."""
    for number, offer in enumerate(offers):
        if offer is not None and offer.prototype is not None:
            parts = zip(PARTS, offer.prototype.parts, strict=True)
            tensors.update({f"{kind}.{number}.{part}": tensor for part, tensor in parts})
    return [offer and [offer.frame, offer.prompt, offer.prototype is not None] for offer in offers]


def _take(kind: str, state: StreamState, device: torch.device) -> list[Offer | None]:
    """The offers that `_put` put there, with copies of their keys and values, since the stream may reuse those."""
    offers: list[Offer | None] = []
    for number, said in enumerate(state.meta["offers" if kind == "offer" else kind]):
        prototype = None
        if said is not None and said[2]:
            stored = Prototype(*(state.tensors[f"{kind}.{number}.{part}"] for part in PARTS))
            prototype = stored.copy(device)
        offers.append(said and Offer(said[0], said[1], prototype))
    return offers


def _restore_cache(stream: Stream, state: StreamState) -> None:
    cache = stream.cache
    cache.at.origin, cache.at.end, cache.at.bank = (state.meta["at"][name] for name in ("origin", "end", "bank"))
    held = _stretch(stream)
    for name in PARTS:
        getattr(cache, name)[:, :, :, held] = state.tensors[name].to(stream.device)
    cache.frames.copy_(state.tensors["frames"])
    cache.order.copy_(state.tensors["order"])
    stream.memory.bank.prompts.copy_(state.tensors["prompts"])


def _restore_progress(stream: Stream, state: StreamState) -> None:
    meta, progress = state.meta, stream.progress
    stream.take_up_prompt(state.tensors["text"], number=meta["prompts"] - 1)
    if "blend" in meta:
        stream.take_up_blend(TextBlend(state.tensors["blend.before"].to(stream.device), **meta["blend"]))
    progress.chunk, progress.prompts, progress.text_known = meta["chunk"], meta["prompts"], meta["text_known"]
    progress.recent = deque(state.tensors["recent"].to(stream.device).split(stream.sampling.chunk_frames, dim=2))


def _restore_offers(stream: Stream, state: StreamState) -> None:
    meta, memory, offers = state.meta, stream.memory, _take("offer", state, stream.device)
    if isinstance(memory, NarrativeMemory):
        memory.offers = deque(offers)
        memory.pooled = list(state.tensors["pooled"].to(stream.device))
        kept = _take("kept", state, memory.pin_device)
        pins = zip(meta["named"], kept, strict=True)
        memory.pins.frames, memory.pins.recalled = set(meta["pins"]), tuple(meta["recalled"])
        memory.pins.named = {name: NamedPin(frame, offer) for (name, frame), offer in pins}
    else:
        memory.newest, memory.promised = (offers[0] if offers else None), meta["promised"]


def _restore_waiting(stream: Stream, state: StreamState) -> None:
    if "next" in state.meta:
        stream.set_prompt(state.tensors["next.text"], **state.meta["next"])
