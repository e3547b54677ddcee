"""One chunk without history under control is what ComfyUI's own VACE model makes of it."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig
from memflow_core.memory import FrameSpan
from memflow_core.model import Backbone, ControlInput, WanControl
from memflow_core.stream import Stream

LAYERS = {"1.3B": (4, 2), "14B": (10, 2), "a block for each": (3, 3)}


@pytest.fixture
def vace(pack):
    """vace(layers, blocks): a small `VaceWanModel` of random weights in float32, 3 heads of 32."""
    import comfy.ops
    from comfy.ldm.wan.model import VaceWanModel

    def make(layers: int, blocks: int):
        numbers = torch.Generator().manual_seed(9)
        tree = VaceWanModel(
            dim=96,
            num_heads=3,
            num_layers=layers,
            ffn_dim=128,
            text_dim=40,
            freq_dim=32,
            in_dim=16,
            out_dim=16,
            cross_attn_norm=True,
            vace_layers=blocks,
            vace_in_dim=96,
            dtype=torch.float32,
            device="cpu",
            operations=comfy.ops.disable_weight_init,
        )
        for name, parameter in tree.named_parameters():
            noise = torch.randn(parameter.shape, generator=numbers)
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.data = 1 + 0.1 * noise if "norm" in name and name.endswith("weight") else scale * noise
        return tree.eval().requires_grad_(False)

    return make


def inputs():
    numbers = torch.Generator().manual_seed(10)
    shapes = {"x": (1, 16, 3, 8, 10), "text": (1, 7, 40), "context": (1, 96, 3, 8, 10)}
    return {name: torch.randn(shape, generator=numbers) for name, shape in shapes.items()}


def ours(tree, strengths, timestep, *, x, text, context, control=None):
    """The flow of the first chunk of a stream, which has no history."""
    backbone = Backbone(tree, control=tree if control is None else control)
    stream = Stream(backbone, LatentShape(8, 10), memory=MemoryConfig(), frames=30)
    stream.cache.layout.end = 3
    given = ControlInput(context, strengths, backbone.embed_control_text(text))
    with torch.inference_mode():
        attend = stream.attention.begin(FrameSpan(0, 3))
        return backbone(x, timestep, backbone.embed_text(text), attend, given)


def theirs(tree, strength, timestep, *, x, text, context):
    with torch.inference_mode():
        return tree(
            x,
            torch.tensor([timestep]),
            text,
            vace_context=context[:, None],
            vace_strength=[strength],
            transformer_options={},
        )


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("strength", "timestep"), [(1.0, 937.5), (0.4, 250.0), (0.0, 500.0)])
def test_a_chunk_under_control_is_that_of_comfyui(vace, kind, strength, timestep):
    tree, given = vace(*LAYERS[kind]), inputs()
    expected = theirs(tree, strength, timestep, **given)
    found = ours(tree, (strength,) * 3, timestep, **given)
    error = (found - expected).abs().max() / expected.abs().max()
    print(f"{kind} at {strength}: largest error {error:.2e} of the largest number")
    assert error < 1e-5


def test_our_own_modules_make_the_same(vace):
    tree, given = vace(4, 2), inputs()
    from memflow_core.config import ModelConfig

    own = WanControl(ModelConfig(96, 3, 2, 128, text_dim=40), 2, 96)
    own.load_state_dict({key: value for key, value in tree.state_dict().items() if key.startswith("vace_")})
    own.requires_grad_(False)
    one, other = (ours(tree, (1.0,) * 3, 500.0, **given, control=part) for part in (None, own))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_control_shows(vace):
    tree, given = vace(4, 2), inputs()
    steered, free = (ours(tree, (strength,) * 3, 500.0, **given) for strength in (1.0, 0.0))
    assert (steered - free).abs().mean() > 0.05 * free.abs().mean()
