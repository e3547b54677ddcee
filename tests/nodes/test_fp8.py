"""FP8 weights and caches: by ComfyUI's own loaders and in its own quantised files, by ours, and sampled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

DEFAULTS = {"lora_name": "none", "lora_strength": 1.0, "lora_alpha": 0.0, "weights": "auto"}


@pytest.fixture(scope="module")
def folder(pack, tmp_path_factory) -> Path:
    import folder_paths

    folder = tmp_path_factory.mktemp("fp8")
    for kind in ("diffusion_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(folder))
    return folder


@pytest.fixture(scope="module")
def core(pack):
    """Modules of the pack's own core, by room and name."""
    from importlib import import_module

    return lambda name: import_module(f"{pack.__name__}.memflow_core.{name}")


@pytest.fixture(scope="module")
def generator(core, generator_file):
    return core("weights.generator").read_generator(generator_file)


@pytest.fixture(scope="module")
def lora(generator, folder) -> str:
    """A LoRA that every matrix of the blocks feels."""
    made, random = {}, torch.Generator().manual_seed(1)
    for key, weight in generator.state_dict.items():
        if key.startswith("blocks.") and key.endswith(".weight") and weight.ndim == 2:
            halves = {"A": (4, weight.shape[1]), "B": (weight.shape[0], 4)}
            for half, shape in halves.items():
                name = f"diffusion_model.{key.removesuffix('weight')}lora_{half}.weight"
                made[name] = 0.12 * torch.randn(shape, generator=random)
    save_file(made, folder / "felt.safetensors")
    return "felt.safetensors"


@pytest.fixture(scope="module")
def exact(tiny) -> torch.Tensor:
    return tiny.sample()[0]


def load(tiny, name: str, **changes):
    return tiny.nodes.loaders.MemFlowLoadModel.execute(model_name=name, **{**DEFAULTS, **changes}).result[0]


def error(found: torch.Tensor, true: torch.Tensor) -> float:
    """Of the first chunk's latents: a stream feeds on its own frames."""
    first = slice(0, 3)
    return float((found[:, :, first] - true[:, :, first]).norm() / true[:, :, first].norm())


@pytest.mark.parametrize("dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
def test_weights_that_comfyui_loads_as_fp8_sample(tiny, generator_file, folder, exact, dtype):
    import nodes

    (folder / "stock.safetensors").write_bytes(generator_file.read_bytes())
    (model,) = nodes.UNETLoader().load_unet("stock.safetensors", dtype)
    assert model.model.diffusion_model.blocks[0].self_attn.q.weight.dtype.itemsize == 1
    assert 0 < error(tiny.sample(model=model)[0], exact) < 0.4


def test_comfyui_reads_our_files_as_its_own_quantised_ones(tiny, core, generator, folder, exact):
    from comfy.quant_ops import QuantizedTensor

    import nodes

    core("weights.fp8_export").save_quantised(generator.state_dict, generator.config, folder / "quantised.safetensors")
    (model,) = nodes.UNETLoader().load_unet("quantised.safetensors", "default")
    tree = model.model.diffusion_model
    assert isinstance(tree.blocks[0].ffn[0].weight, QuantizedTensor)
    assert not isinstance(tree.head.head.weight, QuantizedTensor)
    scaled = error(tiny.sample(model=model)[0], exact)
    (unscaled,) = nodes.UNETLoader().load_unet("stock.safetensors", "fp8_e4m3fn")
    assert 0 < scaled < 0.1 and scaled < error(tiny.sample(model=unscaled)[0], exact)


def test_what_comfyui_computes_with_is_what_we_rounded_to(tiny, core, generator, folder):
    """Scales are powers of two: no further rounding, in whatever precision ComfyUI computes."""
    import nodes

    fp8 = core("model.fp8")
    (model,) = nodes.UNETLoader().load_unet("quantised.safetensors", "default")
    weight = model.model.diffusion_model.blocks[0].self_attn.k.weight
    ours = fp8.decode(*fp8.encode(generator.state_dict["blocks.0.self_attn.k.weight"].float()), torch.float32)
    assert torch.equal(weight.dequantize().float(), ours)


@pytest.mark.parametrize("with_lora", [False, True])
def test_our_loader_makes_fp8_of_published_files(tiny, generator, folder, lora, with_lora):
    torch.save({"generator": generator.state_dict}, folder / "base.pt")
    asked = {"lora_name": lora} if with_lora else {}
    plain = load(tiny, "base.pt", weight_dtype="default", **asked)
    small = load(tiny, "base.pt", weight_dtype="fp8", **asked)
    assert small.model_size() < 0.4 * plain.model_size()
    assert 0 < error(tiny.sample(model=small)[0], tiny.sample(model=plain)[0]) < 0.1


def test_loras_go_on_top_of_fp8(tiny, folder, lora):
    """As behind any model, by ComfyUI's own loader."""
    import nodes

    small = load(tiny, "base.pt", weight_dtype="fp8")
    (changed,) = nodes.LoraLoaderModelOnly().load_lora_model_only(small, lora, 1.0)
    merged = load(tiny, "base.pt", weight_dtype="default", lora_name=lora)
    true = tiny.sample(model=merged)[0]
    near, far = (error(tiny.sample(model=model)[0], true) for model in (changed, small))
    assert near < 0.2 < far


def test_weights_and_cache_in_fp8_together(tiny, folder, exact):
    small = load(tiny, "base.pt", weight_dtype="fp8")
    made, state, report = tiny.sample(model=small, memory=tiny.memory(cache="fp8"))
    assert 0 < error(made, exact) < 0.1 and '"cache": "fp8"' in report
    assert state.stream.tensors["k"].dtype == torch.uint8


def test_a_state_goes_on_with_the_cache_that_it_was_made_with(tiny):
    _, state, _ = tiny.sample(memory=tiny.memory(cache="fp8"))
    more = {"state": state, "length": 12}
    assert tiny.sample(memory=tiny.memory(cache="fp8"), **more)[0].shape[2] == 3
    message = r"^the state remembers with cache 'fp8', but the memory node is set to 'model'[^.]*\.$"
    with pytest.raises(ValueError, match=message):
        tiny.sample(memory=tiny.memory(), **more)


def test_the_preset_of_published_numbers_refuses_fp8(tiny):
    with pytest.raises(ValueError, match="retrieval 'reference' stands for the published code's very numbers"):
        tiny.nodes.memory.MemFlowMemory.execute({"preset": "Official MemFlow"}, "fp8")


def test_the_tool_writes_what_comfyui_reads(tiny, core, generator, folder, lora, monkeypatch, capsys):
    import nodes
    from tools import quantise

    # heads of the tiny model are narrower than Wan's, which only a safetensors file's metadata has
    source, target = folder / "plain.safetensors", folder / "tool.safetensors"
    source.write_bytes(Path(core("weights.tiny").ASSETS / core("weights.tiny").TINY_GENERATOR).read_bytes())
    monkeypatch.setattr("sys.argv", ["quantise", str(source), str(target), "--lora", str(folder / lora)])
    quantise.main()
    assert "GB" in capsys.readouterr().out
    merged = core("weights.lora").read_lora(folder / lora).merge(generator.state_dict)
    written, made = load_file(target), core("weights.fp8_export").quantised(merged)
    bits = written["blocks.0.ffn.0.weight"].view(torch.uint8)
    assert torch.equal(bits, made["blocks.0.ffn.0.weight"].view(torch.uint8))
    (model,) = nodes.UNETLoader().load_unet("tool.safetensors", "default")
    assert bool(torch.isfinite(tiny.sample(model=model)[0]).all())
