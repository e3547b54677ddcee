"""Beside ComfyUI's own nodes: its loaders, its LoRA, and its autoregressive sampler."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TARGETS = ("blocks.0.self_attn.q", "blocks.1.self_attn.k", "blocks.0.cross_attn.v", "blocks.1.ffn.0")
RANK = 4


@pytest.fixture(scope="module")
def files(pack, generator_file, tmp_path_factory) -> Path:
    """A models folder that ComfyUI knows: the tiny generator as official and as stock file, and a LoRA in both."""
    import folder_paths

    folder = tmp_path_factory.mktemp("models")
    for kind in ("diffusion_models", "loras"):
        (folder / kind).mkdir()
        folder_paths.add_model_folder_path(kind, str(folder / kind))
    weights = load_file(generator_file)
    with safe_open(generator_file, framework="pt") as file:
        sizes = json.loads(file.metadata()["config"])["transformer"]
    for name, extra in (("stock", {}), ("stock_ar", {"causal_ar": True})):
        config = json.dumps({"transformer": sizes | extra})
        save_file(weights, folder / "diffusion_models" / f"{name}.safetensors", {"config": config})
    official = {"generator": {f"model.{key}": tensor for key, tensor in weights.items()}}
    torch.save(official, folder / "diffusion_models" / "official.pt")
    _write_loras(weights, folder / "loras")
    return folder


def _write_loras(weights: dict[str, torch.Tensor], folder: Path) -> None:
    random = torch.Generator().manual_seed(5)
    peft, stock = {}, {}
    for target in TARGETS:
        rows, columns = weights[f"{target}.weight"].shape
        halves = {
            "A": torch.randn(RANK, columns, generator=random) / 8,
            "B": torch.randn(rows, RANK, generator=random) / 8,
        }
        for half, tensor in halves.items():
            peft[f"base_model.model.{target}.lora_{half}.default.weight"] = tensor
            stock[f"diffusion_model.{target}.lora_{half}.weight"] = tensor
    torch.save({"generator_lora": peft}, folder / "lora.pt")
    save_file(stock, folder / "lora.safetensors")


def test_stock_loader_and_stock_lora_give_our_loaders_latents(tiny, files):
    import nodes as stock

    model = stock.UNETLoader().load_unet("stock.safetensors", "default")[0]
    with_lora = stock.LoraLoaderModelOnly().load_lora_model_only(model, "lora.safetensors", 0.7)[0]
    ours = tiny.nodes.loaders.MemFlowLoadModel.execute("official.pt", "lora.pt", 0.7, 0.0, "auto", "default").result[0]
    plain = tiny.sample(model=model)[0]
    # its file's name does not say that it is the tiny model, whose own memory is another
    assert torch.equal(plain, tiny.sample(memory=tiny.nodes.run.memory_of({"preset": "Story"}))[0])
    assert torch.equal(tiny.sample(model=with_lora)[0], tiny.sample(model=ours)[0])
    assert not torch.equal(tiny.sample(model=with_lora)[0], plain), "the LoRA does nothing"
    assert torch.equal(tiny.sample(model=model)[0], plain), "the LoRA stayed in the model"


class StockNoise:
    """The draws of ComfyUI's `ar_video` sampler: the whole clip's noise at once, then torch's global generator,
    seeded anew before each re-noising."""

    def __init__(self, whole: torch.Tensor, seed: int, chunk_frames: int):
        self.whole, self.seed, self.frames = whole, seed, chunk_frames

    def chunk(self, index: int):
        self.draws = 0

        def draw(shape):
            self.draws += 1
            if self.draws == 1:
                return self.whole[:, :, index * self.frames : (index + 1) * self.frames]
            return torch.randn(
                shape, generator=torch.Generator().manual_seed(self.seed + index * 1000 + self.draws - 2)
            )

        return draw


# What is left is rounding: ComfyUI applies RoPE to its keys before it stores them and works in [B, L, heads, d];
# ours stores them without RoPE and works in [B, heads, L, d]. Neither sees anything that the other does not.
AR_TOLERANCE = 5e-5


@pytest.mark.parametrize(
    ("chunk", "profile"), [(1, "auto"), (3, "Causal Forcing, chunk-wise")], ids=["told-by-metadata", "chosen"]
)
def test_inside_the_window_the_stock_autoregressive_sampler_makes_the_same(
    pack, tiny, files, monkeypatch, chunk, profile
):
    import comfy.sample
    from comfy_extras.nodes_ar_video import EmptyARVideoLatent, SamplerARVideo
    from comfy_extras.nodes_custom_sampler import BasicGuider, SamplerCustomAdvanced

    import nodes as stock

    seed, prompt = 11, "a robot walks in the meadow"
    model = stock.UNETLoader().load_unet("stock_ar.safetensors", "default")[0]
    conditioning = tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize(prompt))
    latent = EmptyARVideoLatent.execute(64, 64, 33, 1).result[0]
    whole = comfy.sample.prepare_noise(latent["samples"], seed)

    class Noise:
        def __init__(self):
            self.seed = seed

        def generate_noise(self, _):
            return whole

    core = sys.modules[f"{pack.__name__}.memflow_core.stream.denoise"]
    timesteps = core.denoising_timesteps(core.SamplingConfig())
    sigmas = torch.tensor([timestep / 1000 for timestep in timesteps] + [0.0])
    theirs = SamplerCustomAdvanced.execute(
        Noise(),
        BasicGuider.execute(model, conditioning).result[0],
        SamplerARVideo.execute(chunk).result[0],
        sigmas,
        latent,
    ).result[0]["samples"]
    seeded = sys.modules[f"{pack.__name__}.memflow_core.stream.noise"].SeededNoise
    monkeypatch.setattr(seeded, "chunk", StockNoise(whole, seed, chunk).chunk)
    memory = tiny.memory(retrieval="none", sink_size=0, window_size=9)
    inputs = {"length": 33, "steps": "1000, 750, 500, 250", "seed": seed, "memory": memory}
    if profile != "auto":
        model = tiny.nodes.profile.MemFlowProfile.execute(model, profile).result[0]
    ours = tiny.sample(model=model, schedule=tiny.schedule(f"0s: {prompt}"), **inputs)[0]
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < AR_TOLERANCE
