"""The feed-forward of every ComfyUI that can be met, with Linears of its own and of other packages."""

from __future__ import annotations

import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from memflow_core.model.functional import feed_forward, replaced_forward


class CoreLinear(nn.Linear):
    """ComfyUI's own: since 0.39 it takes an activation for its input."""

    def forward(self, x, input_act=None):
        return super().forward(F.gelu(x, approximate="tanh") if input_act == "gelu_tanh" else x)


class GGUFLinear(nn.Module):
    """Another package's: no `nn.Linear`, and it refuses `input_act`."""

    def __init__(self, source: nn.Linear):
        super().__init__()
        self.numbers = (source.weight, source.bias)

    def forward(self, x):
        return F.linear(x, *self.numbers)


class WanFeedForward(nn.Sequential):
    """As of 0.33: the activation goes into the call of the second Linear."""

    calls = 0

    def forward(self, x):
        WanFeedForward.calls += 1
        return self[2](self[0](x), input_act="gelu_tanh")


# as if ComfyUI and a GGUF pack had defined them
for kind, package in ((CoreLinear, "comfy.ops"), (WanFeedForward, "comfy.ldm.wan.model"), (GGUFLinear, "gguf.ops")):
    kind.__module__ = package


def layers(of: str) -> list[nn.Module]:
    torch.manual_seed(0)
    plain = nn.Linear(8, 12), nn.Linear(12, 8)
    if of == "torch":
        return list(plain)
    if of == "gguf":
        return [GGUFLinear(layer) for layer in plain]
    core = CoreLinear(8, 12), CoreLinear(12, 8)
    for layer, source in zip(core, plain, strict=True):
        layer.load_state_dict(source.state_dict())
    return list(core)


@pytest.mark.parametrize("of", ["torch", "core", "gguf"])
@pytest.mark.parametrize("kind", [nn.Sequential, WanFeedForward])
@torch.inference_mode()
def test_every_pair_gives_linear_gelu_linear(kind, of):
    x = torch.randn(2, 5, 8)
    widen, narrow = layers("torch")
    expected = narrow(F.gelu(widen(x), approximate="tanh"))
    first, second = layers(of)
    ffn = kind(first, nn.GELU(approximate="tanh"), second)
    assert torch.allclose(feed_forward(ffn, x, 2), expected, atol=1e-6)


@torch.inference_mode()
def test_a_forward_made_for_its_own_linears_is_used(monkeypatch):
    """It may be faster, as for int8; with Linears of others it would fail."""
    x = torch.randn(2, 5, 8)
    for of, used in (("core", 1), ("gguf", 0)):
        monkeypatch.setattr(WanFeedForward, "calls", 0)
        first, second = layers(of)
        feed_forward(WanFeedForward(first, nn.GELU(approximate="tanh"), second), x, 2)
        assert WanFeedForward.calls == used, of


@torch.inference_mode()
def test_a_replaced_forward_is_called_and_one_put_back_is_none():
    x = torch.randn(2, 5, 8)
    first, second = layers("torch")
    ffn = nn.Sequential(first, nn.GELU(approximate="tanh"), second)
    own, seen = ffn.forward, []
    assert replaced_forward(ffn) is None

    def chunked(self, x):
        seen.append(x.shape)
        return torch.cat([nn.Sequential.forward(self, part) for part in x.chunk(2, dim=1)], dim=1)

    expected = feed_forward(ffn, x, 2)
    ffn.forward = types.MethodType(chunked, ffn)
    assert torch.allclose(feed_forward(ffn, x, 2), expected, atol=1e-6) and seen == [x.shape]
    ffn.forward = own
    assert replaced_forward(ffn) is None
