"""Take the state of a stream, and make a stream that goes on from one.

Every part of a stream gives and takes its own state (`state_dict`, `load_state_dict`); this module puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..memory import EmbeddingTable, RebuiltKV, StateDict, read_embeddings
from ..model import Backbone
from ..stream import ForwardPass, Prompt, SeededNoise, Stream, change_arguments
from .compact import Rebuild
from .format import COMPACT, EXACT, VERSION, trace_tensor
from .heads import own_heads, with_all_heads
from .settings import written
from .stream_state import StreamState


def capture(stream: Stream) -> StreamState:
    """The state of a stream between two chunks, exact, on the CPU. On several processes, each of them calls it.

    Raises ValueError before the first chunk, after a chunk that broke off inside, or for noise without a seed.
    """
    tensors, meta = _parts_of(stream)
    return StreamState({name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}, meta)


class Snapshot:
    """A stream's state on its way to the CPU.

    nbytes  of its tensors.
    """

    def __init__(self, tensors: dict[str, Tensor], meta: dict[str, Any], events: Sequence[torch.cuda.Event]):
        self._state = StreamState(tensors, meta)
        self._events = events
        self.nbytes = sum(tensor.nbytes for tensor in tensors.values())

    def state(self) -> StreamState:
        """The state, once it has arrived. From any thread."""
        for event in self._events:
            event.synchronize()
        return self._state


def snapshot(stream: Stream, fits: Callable[[int], bool] = lambda _: True) -> Snapshot | None:
    """Take the state that `capture` takes, without a wait for a CUDA device: through pinned memory, in the order of the
    device's own work, so that the next chunk may be launched at once.

    fits  asked with the bytes it takes; where it says no nothing is copied, and the result is None.

    Raises ValueError as `capture` does.
    """
    tensors, meta = _parts_of(stream)
    if not fits(sum(tensor.nbytes for tensor in tensors.values())):
        return None
    copies = {name: _copied(tensor.detach()) for name, tensor in tensors.items()}
    # what a control carries over is where its VAE is
    devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
    events = [torch.cuda.Event() for _ in devices]
    for event, device in zip(events, devices, strict=True):
        event.record(torch.cuda.current_stream(device))
    return Snapshot(copies, meta, events)


def _copied(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor.to("cpu", copy=True)
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _parts_of(stream: Stream) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, views among them, and JSON of a stream's state."""
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
        stream.steering.state_dict(),
    ):
        state.update(part)
    if stream.waiting is not None:
        state.update(stream.waiting.state_dict(texts, stream.shape.batch))
    state.update(stream.provenance.state_dict(texts, _recent_frames(state)))
    state.update(texts.state_dict())
    state.tensors["trace"] = trace_tensor(stream.trace.records)
    if stream.cache.share.alone:
        return state.tensors, state.meta
    return {
        name: with_all_heads(name, tensor, stream.cache.share) for name, tensor in state.tensors.items()
    }, state.meta


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
    restore(stream, state)
    return stream


def restore(stream: Stream, state: StreamState) -> None:
    """Bring a stream that has made nothing yet, and has the settings of a state, to where the state stands.

    Raises ValueError if the model or the settings do not fit.
    """
    _check_model(state, stream.backbone)
    kept = (state.shape, state.memory, state.sampling, state.meta["positions"])
    if (stream.shape, stream.memory_config, stream.sampling, stream.positions) != kept:
        raise ValueError("the stream has other settings than the state: make it with the state's.")
    if stream.progress.chunk or stream.prompt is not None:
        raise ValueError("the stream has begun already, so it cannot go on from a state: resume a new one.")
    with torch.inference_mode():
        _load(stream, StateDict(own_heads(state.tensors, stream.backbone.share), state.meta))
    stream.trace.extend(state.trace)


def _load(stream: Stream, state: StateDict) -> None:
    texts, recent = read_embeddings(state), state.tensors["recent"]
    stream.prompt = Prompt.from_state_dict(state, texts, stream.backbone, stream.device)
    stream.progress.load_state_dict(state, stream.sampling.chunk_frames, stream.device)
    stream.cache.load_state_dict(state)
    stream.provenance.load_state_dict(state, texts, recent, _recent_frames(state).start)
    compact = state.meta["content"] == COMPACT
    stream.memory.load_state_dict(state, _rebuild(stream, state) if compact else RebuiltKV())
    stream.steering.load_state_dict(state)
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
        **written(stream.shape, stream.memory_config, stream.sampling),
    }


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
