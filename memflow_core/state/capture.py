"""Take the state of a stream, and make a stream that goes on from one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ..memory import Candidate, FrameKV, NamedPin, NarrativeMemory, part_names
from ..model import Backbone
from ..stream import ForwardPass, PromptChange, SeededNoise, Stream, TextBlend
from .compact import Rebuild, Rebuilt
from .format import COMPACT, EXACT, VERSION, trace_tensor
from .provenance import Texts, pack, read_texts, unpack
from .stream_state import StreamState


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
    on_forward: Callable[[ForwardPass], None] | None = None,
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
    at = stream.cache.layout
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
    at, progress = stream.cache.layout, stream.progress
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


def _put(kind: str, offers: Sequence[Candidate | None], tensors: dict[str, Tensor]) -> list[list | None]:
    """What is to be known of each offer; its keys and values go into `tensors`."""
    for number, offer in enumerate(offers):
        if offer is not None and offer.prototype is not None:
            tensors.update({f"{kind}.{number}.{name}": part for name, part in offer.prototype.parts.items()})
    return [offer and [offer.frame, offer.prompt, offer.prototype is not None] for offer in offers]


def _take(kind: str, state: StreamState, device: torch.device, rebuilt: dict[int, FrameKV]) -> list[Candidate | None]:
    """The offers that `_put` put there, with keys and values that were made anew, or else copies of those in the state,
    since the stream may reuse them."""
    offers: list[Candidate | None] = []
    for number, said in enumerate(state.meta["offers" if kind == "offer" else kind]):
        prototype = None
        if said is not None and said[2] and state.content == COMPACT:
            prototype = rebuilt[said[0]]
        elif said is not None and said[2]:
            names = part_names(state.memory.cache == "fp8")
            stored = FrameKV(**{name: state.tensors[f"{kind}.{number}.{name}"] for name in names})
            prototype = stored.copy(device)
        offers.append(said and Candidate(said[0], said[1], prototype))
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
    cache.layout.origin, cache.layout.end, cache.layout.bank = (meta["at"][name] for name in ("origin", "end", "bank"))
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
