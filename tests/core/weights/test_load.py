"""Generators loaded ready to stream: the recorded flows, with LoRA and EMA, and the bundled tiny model."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file

from memflow_core.config import LatentShape
from memflow_core.model import Backbone, Rope, Rotation, sdpa
from memflow_core.stream import Stream
from memflow_core.weights import load_generator, load_tiny_generator, load_tiny_text_encoder, read_generator

TOLERANCE = 2e-5
BF16_TOLERANCE = 6e-2


@dataclass
class ChunkAttention:
    """An `Attend` over a stream's first chunk, which has no memory."""

    rotation: Rotation
    frames: int

    def __call__(self, _layer: int, q, k, v):
        q, k = (self.rotation.apply(x.unflatten(2, (self.frames, -1))).flatten(2, 3) for x in (q, k))
        return sdpa(q, k, v)


@pytest.fixture
def recorded(golden) -> dict[str, torch.Tensor]:
    return load_file(golden / "fmt_ckpt.safetensors")


@torch.inference_mode()
def first_flow(model: Backbone, recorded: dict[str, torch.Tensor]) -> torch.Tensor:
    """The flow of the recorded input, as it was recorded: [B, F, C, h, w]."""
    x = recorded["x"].transpose(1, 2).to(model.dtype)
    frames, rows, columns = x.shape[2], x.shape[3] // 2, x.shape[4] // 2
    attend = ChunkAttention(Rope(model.head_dim, rows, columns).at(torch.arange(frames)), frames)
    return model(x, recorded["t"][0], model.embed_text(recorded["text"]), attend).transpose(1, 2).float()


LORA = {"lora": "fmt_lora.pt", "lora_alpha": 8}
LOADS = {
    "base": ("fmt_base.pt", {}, TOLERANCE),
    "ema": ("fmt_base_ema.pt", {"which": "generator_ema"}, TOLERANCE),
    "base_bf16": ("fmt_base.pt", {"dtype": torch.bfloat16}, BF16_TOLERANCE),
    "lora": ("fmt_base.pt", LORA, TOLERANCE),
    "lora_merged": ("fmt_base.pt", LORA, TOLERANCE),
}


@pytest.mark.parametrize("name", LOADS)
def test_a_loaded_generator_makes_the_recorded_flow(name, golden, recorded):
    file, options, tolerance = LOADS[name]
    if "lora" in options:
        options = options | {"lora": golden / options["lora"]}
    model = load_generator(golden / file, num_heads=2, **options)
    assert isinstance(model, Backbone) and model.dtype == options.get("dtype", torch.float32)
    torch.testing.assert_close(first_flow(model, recorded), recorded[f"flow_{name}"], rtol=0, atol=tolerance)


def test_a_lora_of_strength_0_is_left_out(golden, recorded):
    model = load_generator(golden / "fmt_base.pt", lora=golden / "fmt_lora.pt", lora_strength=0, num_heads=2)
    plain = load_generator(golden / "fmt_base.pt", num_heads=2)
    assert torch.equal(first_flow(model, recorded), first_flow(plain, recorded))


def test_a_merged_weight_is_rounded_once(golden):
    options = {"lora": golden / "fmt_lora.pt", "lora_alpha": 8, "num_heads": 2}
    exact = load_generator(golden / "fmt_base.pt", **options).tree.state_dict()
    rounded = load_generator(golden / "fmt_base.pt", **options, dtype=torch.bfloat16).tree.state_dict()
    assert all(torch.equal(rounded[key], weight.to(torch.bfloat16)) for key, weight in exact.items())


def test_a_loaded_model_shares_nothing_with_its_file(golden, tmp_path):
    path = tmp_path / "base.pt"
    path.write_bytes((golden / "fmt_base.pt").read_bytes())
    model = load_generator(path, num_heads=2)
    path.write_bytes(bytes(path.stat().st_size))
    expected = read_generator(golden / "fmt_base.pt", num_heads=2).state_dict
    loaded = model.tree.state_dict()
    assert all(torch.equal(loaded[key], weight) for key, weight in expected.items())
    assert not any(weight.requires_grad for weight in model.tree.parameters())


def test_senseless_loads_are_refused(golden):
    with pytest.raises(ValueError, match="float64"):
        load_generator(golden / "fmt_base.pt", num_heads=2, dtype=torch.float64)
    with pytest.raises(ValueError, match="32 wide"):
        load_generator(golden / "fmt_base.pt")
    with pytest.raises(ValueError, match=r"fmt_base\.pt is a model, not a LoRA"):
        load_generator(golden / "fmt_base.pt", lora=golden / "fmt_base.pt", num_heads=2)


def test_the_bundled_model_streams_the_prompts_that_its_encoder_reads():
    model, encoder = load_tiny_generator(), load_tiny_text_encoder()
    stream = Stream(model, LatentShape(8, 8), seed=7)
    embedding = encoder.encode("a robot walks across the meadow")
    assert embedding.shape == (1, encoder.config.length, model.text_dim) and embedding.dtype == torch.float32
    stream.set_prompt(embedding)
    latents = next(stream).latents
    assert latents.shape == (1, 16, 3, 8, 8) and bool(latents.isfinite().all())
    with pytest.raises(ValueError, match="does not know 'robott'"):
        encoder.encode("a robott")
