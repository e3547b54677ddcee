"""Backends and readers that are offered, the choice between them, and its log line. No test asserts a time."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch

from memflow_core.attention import (
    GatherAttention,
    ReadShape,
    attention_backends,
    backends,
    fastest_attention,
    memory_reader,
    memory_readers,
)
from memflow_core.attention.autotune import Timings, autotune
from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import sdpa

CPU = torch.device("cpu")
SHAPE = ReadShape(batch=1, heads=2, head_dim=16, queries=18, tokens=6, memory=6, window=9, top_k=3)


def test_a_stream_says_how_its_memory_is_read(backbone, make_stream, play, prompt):
    made = {}
    for name in ("gather", "fastest"):
        backbone.reader = name
        made[name] = play(make_stream(top_k=2, record_every=1), 6, {0: (prompt(0),)})[-1].latents
    assert torch.equal(made["gather"], made["fastest"])  # on a CPU, copying is the only way
    backbone.reader = "quickest"
    with pytest.raises(ValueError, match="the memory reader is 'quickest', but must be one of gather, fused, fastest"):
        make_stream()


def test_the_fused_reader_asks_for_a_gpu_or_the_interpreter_and_for_triton(backbone, make_stream, monkeypatch):
    backbone.reader = "fused"
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="'fused', which needs a GPU: choose gather or fastest on a CPU"):
        make_stream(top_k=2)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(sys.modules, "triton", None)
    make_stream()  # reads all of its memory, and needs no reader
    with pytest.raises(ValueError, match="needs the package triton"):
        make_stream(top_k=2)


def test_a_cpu_has_one_attention_and_is_not_timed(monkeypatch):
    monkeypatch.setattr(backends, "autotune", None)
    assert list(attention_backends(CPU, torch.float32)) == ["torch"]
    assert fastest_attention(CPU, torch.float32, SHAPE) == "torch"


def test_what_is_installed_is_offered_with_its_own_layout(monkeypatch):
    """FlashAttention 3 takes [B, L, heads, head_dim], SageAttention is told that heads come first."""
    seen = {}

    def flash(q, k, v):
        seen["flash"] = q.shape
        return sdpa(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2), None

    def sage(q, k, v, tensor_layout, is_causal):
        seen["sage"] = (tensor_layout, is_causal)
        return sdpa(q, k, v)

    for name, function in (("flash_attn_interface.flash_attn_func", flash), ("sageattention.sageattn", sage)):
        module, attribute = name.split(".")
        fake = ModuleType(module)
        setattr(fake, attribute, function)
        monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setattr(backends, "find_spec", lambda name: name in sys.modules)
    monkeypatch.setattr(backends, "cudnn_stays_in_bounds", lambda: True)
    offered = attention_backends(torch.device("cuda"), torch.bfloat16)
    assert list(offered) == ["torch", "cudnn", "flash", "flash 3", "sage"]
    q, k, v = torch.randn(3, 1, 4, 10, 16).unbind()
    for name in ("flash 3", "sage"):
        assert torch.equal(offered[name](q, k, v), sdpa(q, k, v))
    assert seen == {"flash": (1, 10, 4, 16), "sage": ("HND", False)}


@pytest.mark.parametrize(
    ("cuda", "version", "fits"),
    [
        ("13.0", 91501, True),
        ("13.0", 91500, False),
        ("12.4", 90100, False),
        ("12.4", None, False),
        (None, 3005000, False),
    ],
)
def test_cudnn_is_offered_only_where_it_stays_in_bounds(cuda, version, fits, monkeypatch):
    """AMD's torch tells the version of another library there."""
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    gpu = torch.device("cuda")
    assert ("cudnn" in attention_backends(gpu, torch.bfloat16)) == fits
    if find_spec("triton"):
        assert ("cudnn + fused" in memory_readers(gpu, torch.bfloat16, sdpa)) == fits
        assert "flash + fused" in memory_readers(gpu, torch.bfloat16, sdpa)


@pytest.mark.parametrize(("capability", "fits"), [((7, 5), False), ((8, 0), True), ((8, 9), True), ((12, 0), True)])
def test_the_fused_reader_is_for_cards_with_tensor_cores_that_triton_knows(capability, fits, monkeypatch, caplog):
    """On older ones it takes minutes to compile, and would lose."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(backends, "find_spec", lambda name: True)
    gpu = torch.device("cuda")
    if find_spec("triton"):
        assert (len(memory_readers(gpu, torch.float16, sdpa)) > 1) == fits
    if not fits:
        assert backends._fastest_reader(gpu, torch.float16, SHAPE, sdpa) == "gather"
        assert "too old for the fused reader" in caplog.text
        backends._fastest_reader.cache_clear()


def test_an_old_card_cannot_be_asked_for_the_fused_reader(backbone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(backends, "find_spec", lambda name: True)
    backbone.reader = "fused"
    with pytest.raises(ValueError, match=r"needs a GPU of compute capability 8\.0 or more: choose gather or fastest"):
        memory_reader(backbone, MemoryConfig(top_k=2), SamplingConfig(), LatentShape(4, 6), torch.device("cuda"))


@pytest.fixture
def contest(monkeypatch):
    """contest(ms, **more): backends beside torch's and the own one, and what each is said to take."""

    def start(ms, **more):
        def timed(variants, expected, device, known):
            return Timings({name: [ms[name]] for name in variants if name not in known}, dict(known))

        monkeypatch.setattr(backends, "attention_backends", lambda *_: {"torch": sdpa, **more})
        monkeypatch.setattr(backends, "autotune", timed)
        fastest_attention.cache_clear()

    yield start
    fastest_attention.cache_clear()


def quick(q, k, v):
    return sdpa(q, k, v)


def test_dense_attention_is_the_fastest_where_that_is_asked_for(backbone, make_stream, contest):
    contest({"own": 2.0, "torch": 1.9, "quick": 1.0}, quick=quick)
    assert make_stream().attention.backend is backbone.attention
    backbone.dense = "fastest"
    assert make_stream().attention.backend is quick
    # what SMA copies is read by it too
    assert make_stream(top_k=2).attention.reader.backend is quick
    backbone.dense = "quickest"
    with pytest.raises(ValueError, match="the dense attention is 'quickest', but must be one of own, fastest"):
        make_stream()


def test_the_own_attention_stays_where_another_is_hardly_faster(backbone, make_stream, contest):
    """Else two that are alike would take turns from start to start, and the last digits with them."""
    contest({"own": 2.0, "torch": 1.99, "quick": 1.97}, quick=quick)
    backbone.dense = "fastest"
    assert make_stream().attention.backend is backbone.attention


def test_a_backend_that_is_wrong_at_any_length_of_a_stream_takes_no_part(backbone, make_stream, contest):
    """Sink 3 and window 9 of 6 tokens fill by chunks of 3, then the bank by single frames: 14 of them are 84 keys."""
    seen = []

    def rough(q, k, v):
        seen.append(k.shape[2] // 6)
        return sdpa(q, k, v) * (2 if k.shape[2] == 14 * 6 else 1)

    contest({"own": 2.0, "torch": 1.9, "rough": 1.0}, rough=rough)
    backbone.dense = "fastest"
    assert make_stream().attention.backend is sdpa
    assert seen == [3, 6, 9, 10, 11, 12, 13, 14]


def test_the_fastest_is_measured_once_and_said_with_its_numbers(monkeypatch, caplog):
    asked = []

    def fused(q, keys, values, chosen, memory):
        asked.append(memory)
        return GatherAttention(sdpa)(q, keys, values, chosen, memory)

    monkeypatch.setattr(backends, "memory_readers", lambda *_: {"gather": GatherAttention(sdpa), "fused": fused})
    backends._fastest_reader.cache_clear()
    with caplog.at_level(logging.INFO):
        chosen = {backends._fastest_reader(CPU, torch.float32, SHAPE, sdpa) for _ in range(3)}
    backends._fastest_reader.cache_clear()
    assert len(caplog.messages) == 1 and chosen <= {"gather", "fused"} and set(asked) == {SHAPE.memory}
    (line,) = caplog.messages
    assert "3 of 6 memory frames and a window of 9" in line and line.count(" ms") == 2 and chosen.pop() in line


def test_a_way_that_fails_or_is_wrong_takes_no_part():
    right = torch.ones(4)

    def broken():
        raise RuntimeError("no kernel image is available\nfor this device")

    variants = {"own": lambda: right, "broken": broken, "wrong": lambda: right * 2, "nan": lambda: right / 0 * 0}
    timings = autotune(variants, right, CPU)
    assert list(timings.ms) == ["own"] and timings.fastest == "own"
    assert timings.left_out["broken"] == "no kernel image is available"
    assert "off by 100.0%" in timings.left_out["wrong"] and "off by nan" in timings.left_out["nan"]
    assert str(timings).startswith("own ") and "broken left out: no kernel image" in str(timings)


def test_the_first_way_takes_part_however_coarse_it_is():
    """It is the user's own: an attention that rounds is not what everything else is wrong by."""
    right = torch.ones(4)
    assert list(autotune({"own": lambda: right * 1.2, "exact": lambda: right}, right, CPU).ms) == ["own", "exact"]
