"""Keys that are computed anew before every chunk, against a plain pass over the frames that the chunk sees."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import Rope, sdpa
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream

MEMORY = {"retrieval": "none", "sink_frames": 1, "window_frames": 5}


def stream_of(backbone, on_forward=None, refresh: bool = True, **memory) -> Stream:
    return Stream(
        backbone,
        LatentShape(4, 6),
        memory=MemoryConfig(**{**MEMORY, **memory}),
        sampling=SamplingConfig(steps=(1000, 625), warp=False, refresh=refresh),
        seed=5,
        frames=100,
        on_forward=on_forward,
    )


class Together:
    """Self-attention of some frames over one another alone, at places 0, 1, 2 ...; keeps their keys before RoPE."""

    def __init__(self, frames: int, head_dim: int):
        self.rotation = Rope(head_dim, 2, 3).at(torch.arange(frames))
        self.frames = frames
        self.keys, self.values = {}, {}

    def __call__(self, layer, q, k, v):
        self.store(layer, k, v)
        q, k = (self.rotation.apply(x.unflatten(2, (self.frames, -1))).flatten(2, 3) for x in (q, k))
        return sdpa(q, k, v)

    def store(self, layer, k, v):
        self.keys[layer] = k.unflatten(2, (self.frames, -1)).clone()
        self.values[layer] = v.unflatten(2, (self.frames, -1)).clone()


@torch.inference_mode()
def test_keys_are_those_of_one_pass_over_what_the_chunk_sees(backbone, prompt):
    made, found = [], {}

    def look(forward):
        if forward.kind == "denoise" and forward.step == 0:
            layout = stream.cache.layout
            slots = [layout.slot(frame) for frame in (0, *range(forward.chunk * 3 - 2, forward.chunk * 3))]
            parts = {name: stream.cache.parts[name][:, :, :, slots].clone() for name in "kv"}
            found[forward.chunk] = (parts, stream.prompt.kv)

    stream = stream_of(backbone, look)
    for chunk in range(5):
        if chunk in (0, 3):
            stream.set_prompt(prompt(chunk))
        made.append(next(stream).latents)
    latents = torch.cat(made, dim=2)
    for chunk in (1, 2, 3, 4):
        parts, text = found[chunk]
        seen = latents[:, :, [0, chunk * 3 - 2, chunk * 3 - 1]]
        plain = Together(3, backbone.head_dim)
        backbone.write(seen, 0.0, text, plain)
        for layer in range(backbone.layers):
            torch.testing.assert_close(parts["k"][layer], plain.keys[layer], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(parts["v"][layer], plain.values[layer], atol=1e-5, rtol=1e-5)


def test_one_pass_more_for_every_chunk_that_sees_others(backbone, prompt):
    stream = stream_of(backbone)
    stream.set_prompt(prompt(0))
    made = [next(stream)]
    stream.set_prompt(prompt(1))
    made.append(next(stream))
    stream.set_prompt(prompt(2), "cut")
    made += [next(stream), next(stream)]
    kinds = [[forward.kind for forward in chunk.forwards if forward.kind != "denoise"] for chunk in made]
    # a recache is part of it
    assert kinds == [["context"], ["refresh", "context"], ["context"], ["refresh", "context"]]


@pytest.mark.parametrize("content", ["exact", "compact"])
def test_a_state_goes_on_bit_by_bit_since_no_older_key_is_read(backbone, prompt, tmp_path, content):
    stream = stream_of(backbone)
    stream.set_prompt(prompt(0))
    for _ in range(4):
        next(stream)
    state = capture(stream)
    (state if content == "exact" else state.compact()).save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    assert torch.equal(next(again).latents, next(stream).latents)


def test_positions_are_relative_and_the_published_memory_is_refused(backbone):
    assert stream_of(backbone).positions == "relative"
    for settings in ({"positions": "absolute"}, {"retrieval": "reference", "bank_frames": 3}):
        with pytest.raises(ValueError, match="refreshed before every chunk"):
            stream_of(backbone, **settings)
