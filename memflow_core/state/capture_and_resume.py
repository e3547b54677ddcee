"""Take the state of a stream, and make a stream that goes on from one.

Every part of a stream gives and takes its own state (`state_dict`, `load_state_dict`); this module puts them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from ..config import MemoryConfig
from ..memory import EmbeddingTable, RebuiltKV, StateDict, read_embeddings
from ..model import Backbone
from ..stream import ForwardPass, Prompt, SeededNoise, Stream, change_arguments
from .compact import Rebuild
from .format import COMPACT, EXACT, VERSION, trace_tensor
from .heads import own_heads, with_all_heads
from .stream_state import StreamState


def capture(stream: Stream) -> StreamState:
    """The state of a stream between two chunks, exact, on the CPU. On several processes, each of them calls it.

    Raises ValueError before the first chunk, after a chunk that broke off inside, or for noise without a seed.
    """
    if stream.broken or stream.prompt is None or stream.progress.chunk == 0:
        raise ValueError("a stream has a state only between finished chunks: make a chunk first.")
    waiting = None if stream.waiting is None else stream.waiting.noise
    if not isinstance(stream.noise, SeededNoise) or not isinstance(waiting, SeededNoise | None):
        raise ValueError("only a stream with seeded noise has a state that can be saved.")
    texts = EmbeddingTable()
    state = StateDict(meta=_settings(stream))
    for part in (
        stream.cache.state_dict(),
        stream.progress.state_dict(),
        stream.noise.state_dict(),
        stream.memory.state_dict(),
        stream.prompt.state_dict(texts),
    ):
        state.update(part)
    if stream.waiting is not None:
        state.update(stream.waiting.state_dict(texts, stream.shape.batch))
    state.update(stream.provenance.state_dict(texts, _recent_frames(state)))
    state.update(texts.state_dict())
    state.tensors["trace"] = trace_tensor(stream.trace.records)
    tensors = {name: with_all_heads(name, tensor, stream.cache.share) for name, tensor in state.tensors.items()}
    return StreamState(tensors, state.meta)


def resume(
    state: StreamState,
    backbone: Backbone,
    *,
    device: torch.device | str | None = None,
    on_forward: Callable[[ForwardPass], None] | None = None,
    pin_device: torch.device | str | None = None,
) -> Stream:
    """A new stream that goes on from a state, which stays as it is; arguments as `Stream` takes them.

    Raises ValueError if the model does not fit.
    """
    _check_model(state, backbone)
    stream = Stream(
        backbone,
        state.shape,
        memory=state.memory,
        sampling=state.sampling,
        seed=state.meta["seed"],
        device=device,
        on_forward=on_forward,
        positions=state.meta["positions"],
        pin_device=pin_device,
    )
    with torch.inference_mode():
        _load(stream, StateDict(own_heads(state.tensors, backbone.share), state.meta))
    stream.trace.extend(state.trace)
    return stream


def _load(stream: Stream, state: StateDict) -> None:
    texts, recent = read_embeddings(state), state.tensors["recent"]
    stream.prompt = Prompt.from_state_dict(state, texts, stream.backbone, stream.device)
    stream.progress.load_state_dict(state, stream.sampling.chunk_frames, stream.device)
    stream.cache.load_state_dict(state)
    stream.provenance.load_state_dict(state, texts, recent, _recent_frames(state).start)
    compact = state.meta["content"] == COMPACT
    stream.memory.load_state_dict(state, _rebuild(stream, state) if compact else RebuiltKV())
    change = change_arguments(state, texts)
    if change is not None:
        stream.set_prompt(**change)


def _rebuild(stream: Stream, state: StateDict) -> RebuiltKV:
    candidates = {frame for frame, _, stored in state.meta["offers"] if stored}
    pins = {kept[0] for kept in state.meta.get("kept", ()) if kept}
    return Rebuild(stream, candidates=candidates, pins=pins).run()


def _settings(stream: Stream) -> dict[str, Any]:
    return {
        "version": VERSION,
        "content": EXACT,
        "positions": stream.positions,
        "shape": asdict(stream.shape),
        "memory": _memory_settings(stream.memory_config),
        "sampling": asdict(stream.sampling),
    }


def _memory_settings(memory: MemoryConfig) -> dict[str, Any]:
    """Settings as in a file: later ones only where they are not the defaults, so that older code reads it."""
    default = asdict(MemoryConfig())
    newer = ("bank_keys", "archive", "archive_rule", "bank_layers")
    return {name: value for name, value in asdict(memory).items() if name not in newer or value != default[name]}


def _recent_frames(state: StateDict) -> range:
    """Latent frames of the newest chunks, whose latents every state keeps."""
    end = state.meta["chunk"] * state.meta["sampling"]["chunk_frames"]
    return range(end - state.tensors["recent"].shape[2], end)


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
        # in fp8, keys do not show it; states from before there was fp8 do not record it
        made_in = state.meta.get("dtype", str(k.dtype).removeprefix("torch."))
        if f"torch.{made_in}" != str(backbone.dtype):
            raise ValueError(f"the state was made in torch.{made_in}, but the model computes in {backbone.dtype}.")
    made_by = (state.tensors["frames"].shape[0], state.tensors["recent"].shape[1], state.tensors["text.0"].shape[-1])
    given = (backbone.layers, backbone.channels, backbone.text_dim)
    if made_by != given:
        raise ValueError(
            "the state belongs to a model of {} layers, {} latent channels and text {} wide, but the model given has "
            "{}, {} and {}.".format(*made_by, *given)
        )
