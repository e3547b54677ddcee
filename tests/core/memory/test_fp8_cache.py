"""A cache in FP8: half the bytes of bfloat16, nearly the same stream, and the same rules for everything else."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import MemoryConfig
from memflow_core.memory import KVCache, SlotLayout
from memflow_core.model import Backbone, fp8
from memflow_core.state import StreamState, capture, resume

RETRIEVALS = ["prompt", "similarity", "attention", "fifo", "none"]


def keys(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(dtype)


def relative_error(found: torch.Tensor, true: torch.Tensor) -> float:
    return float((found.float() - true.float()).norm() / true.float().norm())


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.1, 1.0, 300.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numbers_keep_four_binary_digits_whatever_their_size(size, dtype):
    x = (size * keys(2, 3, 5, 64)).to(dtype)
    bits, scale = fp8.encode(x)
    assert bits.dtype == torch.uint8 and bits.shape == x.shape and scale.shape == (2, 3)
    read = fp8.decode(bits, scale, dtype)
    assert read.dtype == dtype and relative_error(read, x) < 0.03
    large = x.abs() > x.abs().max() / 2**14
    assert bool(((read - x).abs() <= x.abs() / 16 * 1.01)[large].all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_was_read_is_written_as_the_same_bits(dtype):
    bits, scale = fp8.encode(keys(4, 3, 64, dtype=dtype))
    again, same = fp8.encode(fp8.decode(bits, scale, dtype))
    assert torch.equal(fp8.decode(again, same, torch.float32), fp8.decode(bits, scale, torch.float32))


def test_zeros_and_single_large_numbers_are_kept():
    x = torch.zeros(3, 2, 4)
    x[1, 0, 0], x[2, 1, 3] = 448.0, -1e4
    read = fp8.decode(*fp8.encode(x), torch.float32)
    assert torch.equal(read[:2], x[:2]) and relative_error(read[2], x[2]) < 1 / 16
    assert torch.equal(read == 0, x == 0)


# -- the cache --------------------------------------------------------------------------------------------------------


def cache_of_one_layer(in_fp8: bool = False) -> KVCache:
    return KVCache(SlotLayout(1, 2, 1, end=3), layers=1, batch=1, heads=2, tokens=5, head_dim=8, in_fp8=in_fp8)


def test_a_cache_in_the_models_precision_is_read_in_place():
    cache = cache_of_one_layer()
    made = keys(1, 2, 3 * 5, 8)
    cache.write(0, cache.layout.runs(0, 3), made, made)
    stretch = cache.read(0, slice(1, 4))
    for read, kept in ((stretch.k, cache.k), (stretch.v, cache.v)):
        assert torch.equal(read.flatten(2, 3), made)
        assert read.untyped_storage().data_ptr() == kept.untyped_storage().data_ptr()


def test_relevance_knows_the_keys_as_they_were():
    made, caches = keys(1, 2, 3 * 5, 8), []
    for in_fp8 in (False, True):
        caches.append(cache_of_one_layer(in_fp8))
        caches[-1].write(0, caches[-1].layout.runs(0, 3), made, made)
    plain, small = caches
    assert torch.equal(small.mean_k, plain.mean_k)
    assert 0 < relative_error(small.read(0, slice(1, 4)).k, plain.read(0, slice(1, 4)).k) < 0.03


def test_there_is_no_published_fp8():
    with pytest.raises(ValueError, match=r"^memory cache is 'fp8', but retrieval 'reference'[^.]*\.$"):
        MemoryConfig(retrieval="reference", cache="fp8")
    with pytest.raises(ValueError, match="memory cache is 'int4', but must be one of model, fp8"):
        MemoryConfig(cache="int4")


def test_a_device_without_eight_bit_floats_is_named():
    with pytest.raises(ValueError, match="MPS"):
        fp8.check_device("mps")


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_a_stream_is_nearly_the_same(make_stream, play, prompt, retrieval, positions):
    """To within a few times the error of a single number, chunk for chunk from the same past."""
    prompts = {0: (prompt(0),), 3: (prompt(1),)}
    settings = {"retrieval": retrieval, "positions": positions, "record_every": 1}
    exact = play(make_stream(**settings), 5, prompts)
    near = play(make_stream(**settings, cache="fp8"), 5, prompts)
    errors = [relative_error(a.latents, b.latents) for a, b in zip(near, exact, strict=True)]
    assert 0 < errors[0] < 0.05 and max(errors) < 0.3


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_a_stream_goes_on_from_a_file_bit_for_bit(make_stream, backbone, play, prompt, tmp_path, retrieval, positions):
    settings = {"retrieval": retrieval, "positions": positions, "record_every": 1, "cache": "fp8", "top_k": 3}
    stream = make_stream(**settings)
    play(stream, 2, {0: (prompt(0),)})
    if retrieval != "none":
        stream.pin(1, "hero")
        stream.pin(4)
    play(stream, 5, {4: (prompt(1),)})
    capture(stream).save(tmp_path / "state.safetensors")
    loaded = StreamState.load(tmp_path / "state.safetensors")
    assert loaded.tensors["k"].dtype == torch.uint8 and loaded.memory.cache == "fp8"
    resumed = resume(loaded, backbone)
    for one in (stream, resumed):
        one.set_prompt(prompt(2), recall=("hero",) if retrieval != "none" else ())
    for _ in range(4):
        assert torch.equal(next(stream).latents, next(resumed).latents)
    assert stream.trace.records == resumed.trace.records


def test_a_compact_state_rebuilds_a_cache_in_fp8(make_stream, backbone, play, prompt):
    stream = make_stream(record_every=1, cache="fp8")
    play(stream, 6, {0: (prompt(0),), 3: (prompt(1),)})
    resumed = resume(capture(stream).compact(), backbone)
    assert resumed.cache.in_fp8 and torch.equal(resumed.cache.frames, stream.cache.frames)
    layout = stream.cache.layout
    slots = slice(layout.border - layout.bank, layout.total)
    # frames of before have seen what nothing holds any more
    assert relative_error(resumed.cache.read(0, slots).k, stream.cache.read(0, slots).k) < 0.01
    assert relative_error(next(resumed).latents, next(stream).latents) < 0.3


def test_a_state_is_for_a_model_of_its_precision(make_stream, backbone, play, prompt):
    stream = make_stream(cache="fp8")
    play(stream, 2, {0: (prompt(0),)})
    other = Backbone(backbone.tree.to(torch.bfloat16), torch.bfloat16)
    with pytest.raises(ValueError, match=r"^the state was made in torch.float32, but the model computes in"):
        resume(capture(stream), other)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda tensors: tensors.pop("scale_k"), "it lacks 'scale_k'"),
        (lambda tensors: tensors.update(k=tensors["k"].to(torch.float32)), "'k' has shape"),
        (lambda tensors: tensors.update(scale_v=tensors["scale_v"][..., :1].clone()), "'scale_v' has shape"),
    ],
)
def test_a_damaged_state_is_refused(make_stream, play, prompt, tmp_path, damage, message):
    stream = make_stream(cache="fp8")
    play(stream, 2, {0: (prompt(0),)})
    state = capture(stream)
    tensors = dict(state.tensors)
    damage(tensors)
    StreamState(tensors, state.meta).save(tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match="cannot be continued") as error:
        StreamState.load(tmp_path / "state.safetensors")
    assert message in str(error.value)
