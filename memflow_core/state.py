"""A stream's state as a value: what a stream needs to go on exactly where it stood.

A state is taken between chunks and shares no memory with the stream. Resumed from an exact state on the same machine
with the same model, the stream makes the same numbers as if it had never stopped. A compact state lacks the keys and
values, see `compact_state`.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .backbone import Backbone
from .bank import Offer, Prototype
from .cache import part_names
from .compact_state import COMPACT, EXACT, Rebuild, Rebuilt, compacted, trace_tensor
from .config import MemoryConfig, SamplingConfig
from .ledger_state import Texts, pack, read_texts, unpack
from .memory import NarrativeMemory
from .noise import SeededNoise
from .pins import NamedPin
from .prompt import PromptChange, TextBlend
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
    def pins(self) -> list[tuple[int, str | None]]:
        """Latent frames that are pinned and their names, by frame."""
        for_good = [(frame, None) for frame in self.meta.get("pins", [])]
        named = [(frame, name) for name, frame in self.meta.get("named", [])]
        return sorted([*for_good, *named], key=lambda pin: (pin[0], pin[1] or ""))

    @property
    def trace(self) -> list[dict[str, Any]]:
        return json.loads(bytes(self.tensors["trace"].numpy()))

    @property
    def content(self) -> str:
        """`exact` or `compact`."""
        return self.meta["content"]

    @property
    def pinned_places(self) -> int:
        """Most places in the bank that pins take, under this prompt and under one that waits."""
        meta, frames = self.meta, dict(self.meta.get("named", ()))
        asked = (meta.get("recalled", ()), meta.get("next", {}).get("recall", ()))
        return max(len({*meta.get("pins", ()), *(frames[name] for name in names)}) for names in asked)

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
    return StreamState({name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}, meta)


def resume(
    state: StreamState,
    backbone: Backbone,
    device: torch.device | str = "cpu",
    on_forward: Callable[[Forward], None] | None = None,
    pin_device: torch.device | str | None = None,
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
        pin_device=pin_device,
    )
    with torch.inference_mode():
        _restore_progress(stream, state)
        rebuilt = _restore_memory(stream, state)
        _restore_offers(stream, state, rebuilt)
        _restore_waiting(stream, state)
    stream.trace.extend(state.trace)
    return stream


def _stretch(stream: Stream) -> slice:
    """Slots that hold frames."""
    at = stream.cache.at
    return slice(at.border - at.bank, at.border + at.sink_slots + at.window)


def _capture_cache(stream: Stream) -> dict[str, Tensor]:
    cache, held = stream.cache, _stretch(stream)
    return {name: part[:, :, :, held] for name, part in cache.parts.items()} | {
        "frames": cache.frames,
        "order": cache.order,
        "prompts": stream.memory.bank.prompts,
        "recent": torch.cat(tuple(stream.progress.recent), dim=2),
    }


def _capture_meta(stream: Stream) -> dict[str, Any]:
    at, progress = stream.cache.at, stream.progress
    return {
        "version": VERSION,
        "content": EXACT,
        "chunk": progress.chunk,
        "prompts": progress.prompts,
        "prompt": stream.prompt.keys.number,
        "text_known": progress.text_known,
        "seed": stream.noise.seed,
        "positions": stream.positions,
        "shape": asdict(stream.shape),
        "memory": asdict(stream.memory_config),
        "sampling": asdict(stream.sampling),
        "dtype": str(stream.cache.dtype).removeprefix("torch."),
        "at": {"origin": at.origin, "end": at.end, "bank": at.bank},
    }


def _capture_texts(stream: Stream, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """The prompts, and the ledger that refers to them."""
    texts = Texts()
    meta["text"] = texts.number(stream.prompt.text)
    if stream.prompt.blend is not None:
        before, way = texts.number(stream.prompt.blend.before), stream.prompt.blend
        meta["blend"] = {"before": before, "chunks": way.chunks, "path": way.path, "done": way.done}
    if stream.waiting is not None:
        meta["next"] = _waiting(stream.waiting, texts.number(stream.waiting.text.expand(stream.shape.batch, -1, -1)))
    ledger, meta["ledger"] = pack(stream.ledger, texts, _recent_frames(meta, tensors["recent"]))
    meta["texts"] = texts.lengths()
    tensors |= ledger | texts.tensors()


def _waiting(change: PromptChange, text: int) -> dict[str, Any]:
    """A change as `set_prompt` takes it, its embedding by number."""
    return {
        "text": text,
        "switch": change.switch,
        "noise": change.noise.seed if isinstance(change.noise, SeededNoise) else None,
        "blend_chunks": change.blend_chunks,
        "blend_path": change.blend_path,
        "recall": list(change.recall),
    }


def _recent_frames(meta: dict[str, Any], recent: Tensor) -> range:
    """Latent frames of the newest chunks, whose latents every state keeps."""
    end = meta["chunk"] * meta["sampling"]["chunk_frames"]
    return range(end - recent.shape[2], end)


def _capture_offers(stream: Stream, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    memory = stream.memory
    if isinstance(memory, NarrativeMemory):
        if memory.undecided:
            raise ValueError("a stream that was given pictures has a state after its next chunk: make a chunk first.")
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
            tensors.update({f"{kind}.{number}.{name}": part for name, part in offer.prototype.parts.items()})
    return [offer and [offer.frame, offer.prompt, offer.prototype is not None] for offer in offers]


def _take(kind: str, state: StreamState, device: torch.device, rebuilt: dict[int, Prototype]) -> list[Offer | None]:
    """The offers that `_put` put there, with keys and values that were made anew, or else copies of those in the state,
    since the stream may reuse them."""
    offers: list[Offer | None] = []
    for number, said in enumerate(state.meta["offers" if kind == "offer" else kind]):
        prototype = None
        if said is not None and said[2] and state.content == COMPACT:
            prototype = rebuilt[said[0]]
        elif said is not None and said[2]:
            names = part_names(state.memory.cache == "fp8")
            stored = Prototype(**{name: state.tensors[f"{kind}.{number}.{name}"] for name in names})
            prototype = stored.copy(device)
        offers.append(said and Offer(said[0], said[1], prototype))
    return offers


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
        # in fp8, keys do not show it; states from before there was fp8 do not say it
        made_in = state.meta.get("dtype", str(k.dtype).removeprefix("torch."))
        if f"torch.{made_in}" != str(backbone.dtype):
            raise ValueError(f"the state was made in torch.{made_in}, but the model computes in {backbone.dtype}.")
    kept = (state.tensors["frames"].shape[0], state.tensors["recent"].shape[1], state.tensors["text.0"].shape[-1])
    given = (backbone.layers, backbone.channels, backbone.text_dim)
    if kept != given:
        raise ValueError(
            "the state belongs to a model of {} layers, {} latent channels and text {} wide, but the model given has "
            "{}, {} and {}.".format(*kept, *given)
        )


def _restore_memory(stream: Stream, state: StreamState) -> Rebuilt:
    """Cache, bank and ledger. Returns what stands outside the cache, where it had to be made anew."""
    tensors, meta, cache = state.tensors, state.meta, stream.cache
    cache.at.origin, cache.at.end, cache.at.bank = (meta["at"][name] for name in ("origin", "end", "bank"))
    cache.frames.copy_(tensors["frames"])
    cache.order.copy_(tensors["order"])
    stream.memory.bank.prompts.copy_(tensors["prompts"])
    recent = tensors["recent"]
    texts = read_texts(tensors, meta["texts"])
    stream.ledger = unpack(tensors, meta["ledger"], texts, recent, _recent_frames(meta, recent).start)
    if state.content == COMPACT:
        waiting = {frame for frame, _, stored in meta["offers"] if stored}
        return Rebuild(stream, waiting, {kept[0] for kept in meta.get("kept", ()) if kept}).run()
    held = _stretch(stream)
    for name, part in cache.parts.items():
        part[:, :, :, held] = tensors[name].to(stream.device)
    return Rebuilt()


def _restore_progress(stream: Stream, state: StreamState) -> None:
    meta, progress = state.meta, stream.progress
    texts = read_texts(state.tensors, meta["texts"])
    stream.take_up_prompt(texts[meta["text"]], meta["prompt"])
    if "blend" in meta:
        blend = {**meta["blend"], "before": texts[meta["blend"]["before"]].to(stream.device)}
        stream.take_up_blend(TextBlend(**blend))
    progress.chunk, progress.prompts, progress.text_known = meta["chunk"], meta["prompts"], meta["text_known"]
    progress.recent = deque(state.tensors["recent"].to(stream.device).split(stream.sampling.chunk_frames, dim=2))


def _restore_offers(stream: Stream, state: StreamState, rebuilt: Rebuilt) -> None:
    meta, memory = state.meta, stream.memory
    offers = _take("offer", state, stream.device, rebuilt.waiting)
    if isinstance(memory, NarrativeMemory):
        memory.offers = deque(offers)
        memory.pooled = list(state.tensors["pooled"].to(stream.device))
        kept = _take("kept", state, memory.pin_device, rebuilt.named)
        pins = zip(meta["named"], kept, strict=True)
        memory.pins.frames, memory.pins.recalled = set(meta["pins"]), tuple(meta["recalled"])
        memory.pins.named = {name: NamedPin(frame, offer) for (name, frame), offer in pins}
    else:
        memory.newest, memory.promised = (offers[0] if offers else None), meta["promised"]


def _restore_waiting(stream: Stream, state: StreamState) -> None:
    if "next" in state.meta:
        texts = read_texts(state.tensors, state.meta["texts"])
        stream.set_prompt(**{**state.meta["next"], "text": texts[state.meta["next"]["text"]]})
