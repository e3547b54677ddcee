"""A stream's state as a value: what a stream needs to go on exactly where it stood.

A state is taken between chunks and shares no memory with the stream. Resumed on the same machine with the same
model, the stream makes the same numbers as if it had never stopped.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
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
from .stream import Forward, LatentShape, Stream

FORMAT = "memflow-stream-state"
VERSION = 1


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
    _capture_offers(stream, tensors, meta)
    trace = json.dumps(stream.trace.records, separators=(",", ":")).encode()
    tensors["trace"] = torch.from_numpy(np.frombuffer(trace, dtype=np.uint8).copy())
    return StreamState({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, meta)


def resume(
    state: StreamState,
    backbone: Backbone,
    device: torch.device | str = "cpu",
    on_forward: Callable[[Forward], None] | None = None,
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
    )
    with torch.inference_mode():
        _restore_cache(stream, state)
        _restore_progress(stream, state)
        _restore_offers(stream, state)
    stream.trace.extend(state.trace)
    return stream


def _stretch(stream: Stream) -> slice:
    """Slots that hold frames."""
    at = stream.cache.at
    return slice(at.border - at.bank, at.border + at.sink_slots + at.window)


def _capture_cache(stream: Stream) -> dict[str, Tensor]:
    cache, held = stream.cache, _stretch(stream)
    tensors = {
        "k": cache.k[:, :, :, held],
        "v": cache.v[:, :, :, held],
        "mean_k": cache.mean_k[:, :, :, held],
        "frames": cache.frames,
        "order": cache.order,
        "prompts": stream.memory.bank.prompts,
        "recent": torch.cat(tuple(stream.progress.recent), dim=2),
        "text": stream.prompt_text,
    }
    if stream.waiting is not None:
        tensors["next.text"] = stream.waiting.text
    return tensors


def _capture_meta(stream: Stream) -> dict[str, Any]:
    at, progress = stream.cache.at, stream.progress
    meta = {
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
    if stream.waiting is not None:
        noise = stream.waiting.noise
        meta["next"] = {"switch": stream.waiting.switch, "seed": noise.seed if isinstance(noise, SeededNoise) else None}
    return meta


def _capture_offers(stream: Stream, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    memory = stream.memory
    if isinstance(memory, NarrativeMemory):
        offers, meta["pins"] = list(memory.offers), sorted(memory.pins)
        tensors["pooled"] = torch.stack(memory.pooled)
    else:
        offers, meta["promised"] = [memory.newest] if memory.newest is not None else [], memory.promised
    meta["offers"] = [[offer.frame, offer.prompt, offer.prototype is not None] for offer in offers]
    for number, offer in enumerate(offers):
        if offer.prototype is not None:
            parts = {"k": offer.prototype.k, "v": offer.prototype.v, "mean_k": offer.prototype.mean_k}
            tensors |= {f"offer.{number}.{part}": tensor for part, tensor in parts.items()}


def _restore_cache(stream: Stream, state: StreamState) -> None:
    cache = stream.cache
    cache.at.origin, cache.at.end, cache.at.bank = (state.meta["at"][name] for name in ("origin", "end", "bank"))
    held = _stretch(stream)
    for name in ("k", "v", "mean_k"):
        getattr(cache, name)[:, :, :, held] = state.tensors[name].to(stream.device)
    cache.frames.copy_(state.tensors["frames"])
    cache.order.copy_(state.tensors["order"])
    stream.memory.bank.prompts.copy_(state.tensors["prompts"])


def _restore_progress(stream: Stream, state: StreamState) -> None:
    meta, progress = state.meta, stream.progress
    stream.take_up_prompt(state.tensors["text"], number=meta["prompts"] - 1)
    progress.chunk, progress.prompts, progress.text_known = meta["chunk"], meta["prompts"], meta["text_known"]
    progress.recent = deque(state.tensors["recent"].to(stream.device).split(stream.sampling.chunk_frames, dim=2))
    if "next" in meta:
        stream.set_prompt(state.tensors["next.text"], meta["next"]["switch"], meta["next"]["seed"])


def _restore_offers(stream: Stream, state: StreamState) -> None:
    def prototype(number: int) -> Prototype:
        parts = (state.tensors[f"offer.{number}.{part}"] for part in ("k", "v", "mean_k"))
        # a copy, since the stream will reuse these buffers
        return Prototype(*(part.to(stream.device, copy=True) for part in parts))

    offers = [
        Offer(frame, prompt, prototype(number) if stored else None)
        for number, (frame, prompt, stored) in enumerate(state.meta["offers"])
    ]
    memory = stream.memory
    if isinstance(memory, NarrativeMemory):
        memory.offers, memory.pins = deque(offers), set(state.meta["pins"])
        memory.pooled = list(state.tensors["pooled"].to(stream.device))
    else:
        memory.newest, memory.promised = (offers[0] if offers else None), state.meta["promised"]
