"""WanTree, the contract with other models: it names all that the forward uses, and our own model has it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import get_args, get_origin, get_type_hints

import pytest
import torch

from memflow_core.model import Backbone, WanTree, sdpa
from memflow_core.model.tree import WanAttention, WanBlock, WanHead

CONTAINERS = (WanTree, WanBlock, WanAttention, WanHead)


def declared(module, kind):
    """An object that has of a module only what a protocol declares."""
    if get_origin(kind) is Sequence:
        return [declared(part, get_args(kind)[0]) for part in module]
    if kind not in CONTAINERS:
        return module
    return SimpleNamespace(**{name: declared(getattr(module, name), of) for name, of in get_type_hints(kind).items()})


class PlainAttention:
    """An `Attend` without memory."""

    def __init__(self):
        self.stored = {}

    def __call__(self, layer, q, k, v):
        self.store(layer, k, v)
        return sdpa(q, k, v)

    def store(self, layer, k, v):
        self.stored[layer] = k, v


@torch.inference_mode()
@pytest.mark.parametrize("timesteps", [500.0, torch.tensor([900.0, 500.0, 0.0])], ids=["shared", "one a frame"])
def test_the_forward_uses_what_the_protocol_declares_and_nothing_else(backbone, prompt, timesteps):
    x = torch.randn(1, 16, 3, 4, 6)
    other = Backbone(declared(backbone.tree, WanTree))
    flows = []
    for model in (backbone, other):
        flows.append(model(x, timesteps, model.embed_text(prompt(0)), PlainAttention()))
    assert torch.equal(*flows) and flows[0].shape == x.shape


@torch.inference_mode()
def test_sizes_are_read_off_the_tree(backbone):
    sizes = backbone.layers, backbone.heads, backbone.dim, backbone.head_dim, backbone.channels, backbone.text_dim
    assert sizes == (2, 2, 32, 16, 16, 8)


@torch.inference_mode()
def test_a_pass_that_writes_stores_the_keys_of_a_whole_one(backbone, prompt):
    x, text = torch.randn(1, 16, 3, 4, 6), backbone.embed_text(prompt(0))
    whole, written = PlainAttention(), PlainAttention()
    backbone(x, 0.0, text, whole)
    backbone.write(x, 0.0, text, written)
    assert whole.stored.keys() == written.stored.keys() == {0, 1}
    for layer, pair in whole.stored.items():
        assert all(map(torch.equal, pair, written.stored[layer]))
