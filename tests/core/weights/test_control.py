"""Control weights: a module, a whole VACE model, dialects, and what is refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from memflow_core.config import ModelConfig
from memflow_core.model import WanControl, WanModel
from memflow_core.weights import control, load_generator, read_control

CONFIG = ModelConfig(dim=256, num_heads=2, num_layers=4, ffn_dim=64, text_dim=8, freq_dim=16)
TRUE = {
    "1.3B": (ModelConfig(1536, 12, 30, 8960, text_dim=4096), 15),
    "14B": (ModelConfig(5120, 40, 40, 13824, text_dim=4096), 8),
}


def numbers(tree: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.detach().clone() for key, tensor in tree.state_dict().items()}


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(3)
    return numbers(WanControl(CONFIG, 2, 96))


@pytest.fixture(scope="module")
def main():
    torch.manual_seed(4)
    return numbers(WanModel(CONFIG))


@pytest.fixture
def save(tmp_path):
    def write(content, name="module.safetensors"):
        if name.endswith(".pt"):
            torch.save(content, tmp_path / name)
        else:
            save_file(content, tmp_path / name)
        return tmp_path / name

    return write


DIALECTS = {
    "module": ("", "module.safetensors"),
    "ComfyUI": ("model.diffusion_model.", "vace.safetensors"),
    "ComfyUI, short": ("diffusion_model.", "vace.safetensors"),
    "a training checkpoint": ("generator.model.", "vace.pt"),
    "FSDP": ("generator_ema.model._fsdp_wrapped_module.", "vace.pt"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("whole", [False, True])
def test_a_module_and_the_part_of_a_whole_model_are_the_same(save, module, main, dialect, whole):
    prefix, name = DIALECTS[dialect]
    content = {f"{prefix}{key}": tensor for key, tensor in {**(main if whole else {}), **module}.items()}
    read = read_control(save(content, name))
    assert (read.blocks, read.dim, read.ffn_dim, read.channels) == (2, 256, 64, 96)
    assert read.state_dict.keys() == module.keys()
    assert all(torch.equal(read.state_dict[key], module[key]) for key in module)


def test_a_generator_is_loaded_with_control_beside_it(save, module, main):
    backbone = load_generator(save(main, "main.safetensors"), control=save(module))
    assert backbone.control is not None
    kept = dict(backbone.control.tree.named_parameters())
    assert all(torch.equal(kept[key], tensor) for key, tensor in module.items())
    assert not any(parameter.requires_grad for parameter in kept.values())


@pytest.mark.slow
@pytest.mark.parametrize("size", TRUE)
def test_a_file_of_the_true_shapes_is_read(tmp_path, monkeypatch, size):
    monkeypatch.setattr(control, "check_finite", lambda *_: None)
    config, blocks = TRUE[size]
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in WanControl(config, blocks, 96).state_dict().items()}
    zero = torch.zeros(1, dtype=torch.bfloat16)
    torch.save({key: zero.expand(shape) for key, shape in shapes.items()}, tmp_path / "module.pt")
    read = read_control(tmp_path / "module.pt")
    read.check_fits(layers=config.num_layers, dim=config.dim, channels=16)
    assert read.blocks == blocks


def without(content, *names):
    return {key: tensor for key, tensor in content.items() if key not in names}


REFUSED = {
    "a text-to-video model": (lambda c, m: m, "has no control part"),
    "a LoRA": (lambda c, m: {"blocks.0.q.lora_A.weight": torch.zeros(2, 2)}, "is a LoRA"),
    "a VAE": (lambda c, m: {"decoder.middle.0.weight": torch.zeros(2)}, "is a VAE"),
    "a block that is not whole": (lambda c, m: without(c, "vace_blocks.1.self_attn.o.bias"), "missing vace_blocks.1"),
    "no patch embedding": (lambda c, m: without(c, "vace_patch_embedding.weight"), "missing vace_patch_embedding"),
    "a projection too many": (
        lambda c, m: {**c, "vace_blocks.1.before_proj.weight": torch.zeros(256, 256)},
        "also holds vace_blocks.1.before_proj",
    ),
    "another width": (
        lambda c, m: {**c, "vace_blocks.1.after_proj.weight": torch.zeros(8, 8)},
        "does not fit together",
    ),
    "no numbers": (
        lambda c, m: {**c, "vace_patch_embedding.bias": torch.full((256,), torch.nan)},
        "holds NaN or infinity",
    ),
    "quantised": (
        lambda c, m: {key: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for key, t in c.items()},
        "is quantised",
    ),
    "scaled": (lambda c, m: {**c, "vace_blocks.0.ffn.0.scale_weight": torch.ones(1)}, "is quantised"),
    "diffusers": (
        lambda c, m: {"vace_blocks.0.attn1.to_q.weight": torch.zeros(2, 2), "vace_patch_embedding.bias": torch.ones(2)},
        "diffusers layout",
    ),
    "a flat patch embedding": (
        lambda c, m: {**c, "vace_patch_embedding.weight": torch.zeros(256, 96)},
        "must have 5 dimensions",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_file_is_refused_in_one_sentence(save, module, main, name):
    change, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as refusal:
        read_control(save(change(module, main)))
    assert str(refusal.value).startswith("module.safetensors")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("layers", "dim", "channels"), [(4, 512, 16), (3, 256, 16), (4, 256, 48)])
def test_weights_of_another_size_are_refused_in_one_sentence(save, module, layers, dim, channels):
    read = read_control(save(module))
    read.check_fits(layers=4, dim=256, channels=16)
    with pytest.raises(ValueError, match="use control weights that were made for a model of this size"):
        read.check_fits(layers=layers, dim=dim, channels=channels)
