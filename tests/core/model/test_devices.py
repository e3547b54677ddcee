"""What devices lack, and what a compiler is told: stand-ins for cards that are not here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from memflow_core.config import LatentShape, SamplingConfig
from memflow_core.model import Backbone, functional, widest
from memflow_core.stream import Stream


@pytest.fixture(autouse=True)
def fresh():
    functional._has_float64.cache_clear()
    yield
    functional._has_float64.cache_clear()


def test_float64_is_used_where_a_device_has_it():
    assert widest("cpu") == widest("meta") == torch.float64
    assert widest("mps") == widest("privateuseone") == torch.float32


def test_an_intel_card_without_float64_is_asked(monkeypatch):
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda device: SimpleNamespace(has_fp64=False))
    assert widest("xpu:0") == torch.float32


def test_a_device_that_refuses_float64_has_none(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("Required aspect fp64 is not supported on the device")

    monkeypatch.setattr(functional.torch, "ones", refuse)
    assert widest("cuda:0") == torch.float32


class NoFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        made = operation(*arguments, **(named or {}))
        tensors = [x for x in tree_leaves((arguments, named or {}, made)) if isinstance(x, torch.Tensor)]
        assert all(x.dtype != torch.float64 for x in tensors), operation
        return made


@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_a_stream_computes_without_float64(positions, make_stream, play, prompt, monkeypatch):
    usual = play(make_stream(positions=positions), 5, {0: (prompt(0),), 3: (prompt(1),)})
    monkeypatch.setattr(functional, "_has_float64", lambda device: False)
    with NoFloat64():
        made = play(make_stream(positions=positions), 5, {0: (prompt(0),), 3: (prompt(1),)})
    for ours, expected in zip(made, usual, strict=True):
        assert torch.allclose(ours.latents, expected.latents, atol=1e-3)


class Untouched:
    """Self-attention that leaves its queries as they are."""

    def __call__(self, layer, q, k, v):  # noqa: ARG002
        return q

    def store(self, layer, k, v):
        pass


def test_a_picture_before_the_first_chunk_does_not_decide_what_is_compiled(backbone, play, prompt):
    """Chunks are compiled, however many latent frames the first pass of all has."""
    ran = []

    def compiler(function):
        def compiled(block, x, *rest):
            ran.append(x.shape[1])
            return function(block, x, *rest)

        return compiled

    compiling = Backbone(backbone.tree, compiler=compiler)
    picture, text = torch.randn(1, 16, 1, 4, 6), compiling.embed_text(prompt(0))
    with torch.inference_mode():
        compiling.write(picture, 0.0, text, Untouched())
        assert ran == [1, 1], "as the first pass is, where no stream has told a size"
        ran.clear()
        stream = Stream(compiling, LatentShape(4, 6), sampling=SamplingConfig(steps=(1000, 500)), frames=30)
        compiling.write(picture, 0.0, text, Untouched())
        assert ran == []
    play(stream, 2, {0: (prompt(0),)})
    # of two chunks: two steps through both layers and a context pass through the first, before and after attention
    assert set(ran) == {3} and len(ran) == 2 * (2 * 2 * 2 + 2)
