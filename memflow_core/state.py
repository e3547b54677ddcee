"""A stream's state as a value: what a stream needs to go on exactly where it stood.

A state is taken between chunks and shares no memory with the stream. Resumed from an exact state on the same machine
with the same model, the stream makes the same numbers as if it had never stopped. A compact state lacks the keys and
values, see `compact_state`.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .backbone import Backbone
from .bank import Offer, Prototype
from .compact_state import COMPACT, EXACT, Rebuild, compacted, trace_tensor
from .config import MemoryConfig, SamplingConfig
from .ledger_state import Texts, pack, read_texts, unpack
from .memory import NarrativeMemory
from .noise import SeededNoise
from .state_check import check_state
from .stream import Forward, LatentShape, Stream

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
    def trace(self) -> list[dict[str, Any]]:
        return json.loads(bytes(self.tensors["trace"].numpy()))

    @property
    def content(self) -> str:
        """`exact` or `compact`."""
        return self.meta["content"]

    @property
    def pins(self) -> int:
        """Frames that are pinned in the bank."""
        return len(self.meta.get("pins", ()))

    @property
    def rebuilds(self) -> int:
        """Passes through the model that it takes to go on from here."""
        return len(self.meta["ledger"]["writes"]) if self.content == COMPACT else 0

    def compact(self) -> StreamState:
        """The same without keys and values; itself if it is compact already."""
        return self if self.content == COMPACT else StreamState(*compacted(self.tensors, self.meta))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        meta = {**self.meta, "checksum": checksum(tensors)}
        save_file(tensors, path, metadata={"format": FORMAT, "meta": json.dumps(meta)})

    @staticmethod
    def load(path: str | Path) -> StreamState:
        """Read a file that `save` wrote. Raises FileNotFoundError or ValueError in one sentence."""
        name, meta = Path(path).name, read_meta(path)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ValueError(f"{name} is damaged: {error}.") from error
        if meta.pop("checksum", None) != checksum(tensors):
            raise ValueError(f"{name} is damaged: its checksum does not fit its contents.")
        try:
            check_state(tensors, meta)
        except ValueError as error:
            raise ValueError(f"{name} cannot be continued: {str(error).rstrip('.')}.") from error
        return StreamState(tensors, meta)


def read_meta(path: str | Path) -> dict[str, Any]:
    """What a state's file says of itself, read without its tensors.

    Raises FileNotFoundError, or ValueError in one sentence for a file that is no state of this version.
    """
    name = Path(path).name
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no stream state at {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        meta = json.loads(header["meta"]) if header.get("format") == FORMAT else None
    except (SafetensorError, KeyError, OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged or not a safetensors file: {error}.") from error
    if not isinstance(meta, dict):
        raise ValueError(f"{name} is not a stream state: use a file that was saved from a stream.")
    if meta.get("version") != VERSION:
        raise ValueError(
            f"{name} holds a stream state of version {meta.get('version')!r}, but this program reads version {VERSION}."
        )
    return meta


def checksum(tensors: dict[str, Tensor]) -> int:
    """CRC-32 over all numbers, in the order of their names. It finds accidents, not intent."""
    crc = 0
    for name in sorted(tensors):
        flat = tensors[name].contiguous().flatten()
        crc = zlib.crc32(flat.view(torch.uint8).numpy() if flat.numel() else b"", zlib.crc32(name.encode(), crc))
    return crc


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
    _capture_texts(stream, tensors, meta)
    tensors["trace"] = trace_tensor(stream.trace.records)
    return StreamState({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, meta)


def resume(
    state: StreamState,
    backbone: Backbone,
    device: torch.device | str = "cpu",
    on_forward: Callable[[Forward], None] | None = None,
) -> Stream:
    """A new stream that goes on from a state, which stays as it is. Raises ValueError if the model does not fit."""
    meta = state.meta
    _check_model(state, backbone)
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
        _restore_progress(stream, state)
        prototypes = _restore_memory(stream, state)
        _restore_offers(stream, state, prototypes)
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
    meta = {
        "version": VERSION,
        "content": EXACT,
        "chunk": progress.chunk,
        "prompts": progress.prompts,
        "prompt": stream.prompt_number,
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


def _capture_texts(stream: Stream, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """The prompts, and the ledger that refers to them."""
    texts = Texts()
    meta["text"] = texts.number(stream.prompt_text)
    if stream.waiting is not None:
        meta["next"]["text"] = texts.number(stream.waiting.text)
    ledger, meta["ledger"] = pack(stream.ledger, texts, _recent_frames(meta, tensors["recent"]))
    meta["texts"] = texts.lengths()
    tensors |= ledger | texts.tensors()


def _recent_frames(meta: dict[str, Any], recent: Tensor) -> range:
    """Latent frames of the newest chunks, whose latents every state keeps."""
    end = meta["chunk"] * meta["sampling"]["chunk_frames"]
    return range(end - recent.shape[2], end)


def _capture_offers(stream: Stream, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    memory = stream.memory
    if isinstance(memory, NarrativeMemory):
        if memory.undecided:
            raise ValueError("a stream that was given pictures has a state after its next chunk: make a chunk first.")
        offers, meta["pins"] = list(memory.offers), sorted(memory.pins)
        tensors["pooled"] = torch.stack(memory.pooled)
    else:
        offers, meta["promised"] = [memory.newest] if memory.newest is not None else [], memory.promised
    meta["offers"] = [[offer.frame, offer.prompt, offer.prototype is not None] for offer in offers]
    for number, offer in enumerate(offers):
        if offer.prototype is not None:
            parts = {"k": offer.prototype.k, "v": offer.prototype.v, "mean_k": offer.prototype.mean_k}
            tensors |= {f"offer.{number}.{part}": tensor for part, tensor in parts.items()}


def _check_model(state: StreamState, backbone: Backbone) -> None:
    """Raise ValueError unless the state is one of such a model."""
    if "k" in state.tensors:
        k = state.tensors["k"]
        layers, heads, head_dim = k.shape[0], k.shape[2], k.shape[-1]
        if (layers, heads, head_dim) != (backbone.layers, backbone.heads, backbone.head_dim):
            raise ValueError(
                f"the state belongs to a model of {layers} layers and {heads} heads of {head_dim}, but the model "
                f"given has {backbone.layers} layers and {backbone.heads} heads of {backbone.head_dim}."
            )
        if k.dtype != backbone.dtype:
            raise ValueError(f"the state was made in {k.dtype}, but the model computes in {backbone.dtype}.")
    kept = (state.tensors["frames"].shape[0], state.tensors["recent"].shape[1], state.tensors["text.0"].shape[-1])
    given = (backbone.layers, backbone.channels, backbone.text_dim)
    if kept != given:
        raise ValueError(
            "the state belongs to a model of {} layers, {} latent channels and text {} wide, but the model given has "
            "{}, {} and {}.".format(*kept, *given)
        )


def _restore_memory(stream: Stream, state: StreamState) -> dict[int, Prototype]:
    """Cache, bank and ledger. Returns the frames that wait for the bank, where their keys had to be made anew."""
    tensors, meta, cache = state.tensors, state.meta, stream.cache
    cache.at.origin, cache.at.end, cache.at.bank = (meta["at"][name] for name in ("origin", "end", "bank"))
    cache.frames.copy_(tensors["frames"])
    cache.order.copy_(tensors["order"])
    stream.memory.bank.prompts.copy_(tensors["prompts"])
    recent = tensors["recent"]
    texts = read_texts(tensors, meta["texts"])
    stream.ledger = unpack(tensors, meta["ledger"], texts, recent, _recent_frames(meta, recent).start)
    if state.content == COMPACT:
        return Rebuild(stream, {frame for frame, _, stored in meta["offers"] if stored}).run()
    held = _stretch(stream)
    for name in ("k", "v", "mean_k"):
        getattr(cache, name)[:, :, :, held] = tensors[name].to(stream.device)
    return {}


def _restore_progress(stream: Stream, state: StreamState) -> None:
    meta, progress = state.meta, stream.progress
    texts = read_texts(state.tensors, meta["texts"])
    stream.take_up_prompt(texts[meta["text"]], meta["prompt"])
    progress.chunk, progress.prompts, progress.text_known = meta["chunk"], meta["prompts"], meta["text_known"]
    progress.recent = deque(state.tensors["recent"].to(stream.device).split(stream.sampling.chunk_frames, dim=2))
    if "next" in meta:
        stream.set_prompt(texts[meta["next"]["text"]], meta["next"]["switch"], meta["next"]["seed"])


def _restore_offers(stream: Stream, state: StreamState, rebuilt: dict[int, Prototype]) -> None:
    def prototype(number: int, frame: int) -> Prototype:
        if frame in rebuilt:
            return rebuilt[frame]
        parts = (state.tensors[f"offer.{number}.{part}"] for part in ("k", "v", "mean_k"))
        # a copy, since the stream will reuse these buffers
        return Prototype(*(part.to(stream.device, copy=True) for part in parts))

    offers = [
        Offer(frame, prompt, prototype(number, frame) if stored else None)
        for number, (frame, prompt, stored) in enumerate(state.meta["offers"])
    ]
    memory = stream.memory
    if isinstance(memory, NarrativeMemory):
        memory.offers, memory.pins = deque(offers), set(state.meta["pins"])
        memory.pooled = list(state.tensors["pooled"].to(stream.device))
    else:
        memory.newest, memory.promised = (offers[0] if offers else None), state.meta["promised"]
