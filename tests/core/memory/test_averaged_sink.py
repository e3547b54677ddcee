"""A sink that is a running average, against the published update of its keys and values."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import MemoryConfig
from memflow_core.memory import KVCache, SlotLayout, fold_into_sink
from memflow_core.state import StreamState, capture, resume

AVERAGED = {"retrieval": "none", "sink": "average", "sink_frames": 3, "window_frames": 6}


def filled(in_fp8: bool = False) -> KVCache:
    cache = KVCache(SlotLayout(3, 6, 0), layers=2, batch=1, heads=2, tokens=4, head_dim=8, in_fp8=in_fp8)
    for start in range(0, 9, 3):
        cache.layout.end = start + 3
        for layer in range(2):
            k, v = torch.randn(2, 1, 2, 3 * 4, 8)
            cache.write(layer, cache.layout.runs(start, 3), k, v)
    return cache


def read(cache: KVCache, name: str, frame: int) -> torch.Tensor:
    slot = cache.layout.slot(frame)
    read = (cache.read(layer, slice(slot, slot + 1)) for layer in range(cache.layers))
    return torch.stack([getattr(stretch, name)[:, :, 0] for stretch in read])


@pytest.mark.parametrize("in_fp8", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999, 1.0])
def test_frames_that_leave_the_window_are_folded_in_their_order(in_fp8, decay):
    torch.manual_seed(0)
    cache = filled(in_fp8)
    before = {(name, frame): read(cache, name, frame).clone() for name in "kv" for frame in range(9)}
    means = cache.mean_k.clone()
    fold_into_sink(cache, 3, decay)
    for name in "kv":
        for place in range(3):
            expected = decay * before[name, place] + (1 - decay) * before[name, place + 3]
            torch.testing.assert_close(
                read(cache, name, place), expected, atol=0.15 if in_fp8 else 1e-6, rtol=0.1 if in_fp8 else 1e-5
            )
            torch.testing.assert_close(read(cache, name, place + 3), before[name, place + 3])
    expected = decay * means[:, :, :, :3] + (1 - decay) * means[:, :, :, 3:6]
    torch.testing.assert_close(cache.mean_k[:, :, :, :3], expected)


def test_nothing_is_folded_while_the_window_has_room():
    cache = filled()
    cache.layout.end = 6
    before = cache.k.clone()
    fold_into_sink(cache, 3, 0.5)
    assert torch.equal(cache.k, before)


def test_a_stream_averages_from_the_chunk_that_pushes_frames_out(make_stream, prompt, play):
    plain = play(make_stream(**{**AVERAGED, "sink": "first"}, positions="relative"), 6, {0: (prompt(0), "recache")})
    made = play(make_stream(**AVERAGED, sink_decay=0.9), 6, {0: (prompt(0), "recache")})
    for chunk in range(3):
        assert torch.equal(plain[chunk].latents, made[chunk].latents)
    assert not torch.equal(plain[3].latents, made[3].latents)
    kept = play(make_stream(**AVERAGED, sink_decay=1.0), 6, {0: (prompt(0), "recache")})
    torch.testing.assert_close(kept[5].latents, plain[5].latents)


def test_positions_are_relative_and_a_state_is_exact_or_refused(make_stream, prompt, play, backbone, tmp_path):
    assert MemoryConfig(**AVERAGED).resolve_positions(9) == "relative"
    stream = make_stream(**AVERAGED)
    play(stream, 5, {0: (prompt(0), "recache")})
    state = capture(stream)
    with pytest.raises(ValueError, match="average over all that it has seen"):
        state.compact()
    state.save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    assert torch.equal(next(again).latents, next(stream).latents)
