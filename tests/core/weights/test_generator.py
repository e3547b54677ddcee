"""Reading generators: every dialect gives the same weights, every wrong file an error that names what it is."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from memflow_core.config import ModelConfig
from memflow_core.model import WanModel
from memflow_core.weights import generator, read_generator
from memflow_core.weights.files import cast, check_finite

SMALL = ModelConfig(dim=32, num_heads=2, num_layers=2, ffn_dim=48, text_dim=8, freq_dim=16)
WAN_1_3B = ModelConfig(dim=1536, num_heads=12, num_layers=30, ffn_dim=8960, text_dim=4096)

DIALECTS = {
    "plain": lambda w: w,
    "ComfyUI": lambda w: prefixed(w, "diffusion_model."),
    "ComfyUI checkpoint": lambda w: {
        **prefixed(w, "model.diffusion_model."),
        "first_stage_model.conv1.weight": torch.ones(1),
    },
    "official": lambda w: {"generator": prefixed(w, "model."), "critic": prefixed(w, "model."), "step": 7},
    "official, flat": lambda w: prefixed(w, "generator.model."),
    "ema": lambda w: {"generator_ema": fsdp(w)},
    "model": lambda w: {"model": w},
    "compiled": lambda w: prefixed(w, "_orig_mod."),
    "compiled generator": lambda w: {"generator": prefixed(w, "_orig_mod.model.")},
    "lightning": lambda w: {"state_dict": prefixed(w, "model.diffusion_model."), "epoch": 3},
    "data parallel": lambda w: prefixed(w, "module."),
}


def prefixed(weights: dict, prefix: str) -> dict:
    return {prefix + key: tensor for key, tensor in weights.items()}


def fsdp(weights: dict) -> dict:
    """Keys with FSDP's infix after every module that is sharded, here the model and each block."""
    wrapped = {}
    for key, tensor in weights.items():
        parts = key.split(".")
        if parts[0] == "blocks":
            parts.insert(2, "_fsdp_wrapped_module")
        wrapped["model._fsdp_wrapped_module." + ".".join(parts)] = tensor
    return wrapped


def shapes(config: ModelConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in WanModel(config).state_dict().items()}


def zeros(config: ModelConfig, dtype: torch.dtype = torch.bfloat16) -> dict[str, torch.Tensor]:
    """Weights of the true shapes that take no memory: one number, expanded."""
    zero = torch.zeros(1, dtype=dtype)
    return {key: zero.expand(shape) for key, shape in shapes(config).items()}


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {key: torch.randn(shape, generator=generator) for key, shape in shapes(SMALL).items()}


@pytest.fixture
def save(tmp_path):
    """save(content, ending) -> the path of a file that holds it."""

    def write(content, ending: str = ".pt") -> Path:
        path = tmp_path / f"weights{ending}"
        if ending == ".safetensors":
            save_file({key: tensor.contiguous() for key, tensor in content.items()}, path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        return path

    return write


def refused(path: Path, *words: str, which: str = "auto", num_heads: int | None = 2) -> None:
    """Assert that the file is refused with a message of one line that holds these words."""
    with pytest.raises(ValueError) as caught:
        read_generator(path, which, num_heads)
    message = str(caught.value)
    assert path.name in message and "\n" not in message and message.endswith(".")
    for word in words:
        assert word in message


# -- what is read --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_of_the_real_model_is_read_and_sized(dialect, save, monkeypatch):
    # a file that repeats one number is refused for that, and one of the true size takes gigabytes
    monkeypatch.setattr(generator, "check_finite", lambda *_: None)
    read = read_generator(save(DIALECTS[dialect](zeros(WAN_1_3B))))
    assert read.config == WAN_1_3B
    assert {key: tensor.shape for key, tensor in read.state_dict.items()} == shapes(WAN_1_3B)
    assert {tensor.dtype for tensor in read.state_dict.values()} == {torch.bfloat16}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_numbers(dialect, save, weights):
    read = read_generator(save(DIALECTS[dialect](weights)), num_heads=2)
    assert read.config == SMALL
    assert all(torch.equal(read.state_dict[key], tensor) for key, tensor in weights.items())


@pytest.mark.parametrize("prefix", ["", "model.", "diffusion_model.", "model.diffusion_model.", "generator.model."])
def test_safetensors_files_are_read_like_pt_files(prefix, save, weights):
    read = read_generator(save(prefixed(weights, prefix), ".safetensors"), num_heads=2)
    assert read.config == SMALL
    assert all(torch.equal(read.state_dict[key], tensor) for key, tensor in weights.items())


def test_the_old_file_format_of_pytorch_is_read(tmp_path, weights):
    torch.save({"generator": weights}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    read = read_generator(tmp_path / "old.pt", num_heads=2)
    assert all(torch.equal(read.state_dict[key], tensor) for key, tensor in weights.items())


def test_the_name_of_a_file_does_not_matter(tmp_path, save, weights):
    path = save(weights, ".safetensors").rename(tmp_path / "weights.pt")
    assert read_generator(path, num_heads=2).config == SMALL


@pytest.mark.parametrize("length", [0x7B20, 0x5B20, 0x8080])
def test_the_length_of_a_safetensors_header_is_not_taken_for_another_format(length, tmp_path, weights):
    # a file starts with that number: here " {", " [", and what pickle starts with
    path = tmp_path / "weights.safetensors"
    save_file(weights, path, metadata={"note": ""})
    missing = length - int.from_bytes(path.read_bytes()[:8], "little")
    save_file(weights, path, metadata={"note": "x" * missing})
    assert int.from_bytes(path.read_bytes()[:8], "little") == length
    assert read_generator(path, num_heads=2).config == SMALL


def test_auto_prefers_the_generator_to_its_average(save, weights):
    average = {key: tensor + 1 for key, tensor in weights.items()}
    path = save({"generator_ema": fsdp(average), "generator": prefixed(weights, "model.")})
    key = "blocks.1.ffn.2.weight"
    for which, expected in (("auto", weights), ("generator", weights), ("generator_ema", average)):
        read = read_generator(path, which, num_heads=2)
        assert torch.equal(read.state_dict[key], expected[key])
        assert read.source == ("generator" if which == "auto" else which)


def test_what_was_asked_for_by_name_is_not_replaced_by_something_else(save, weights):
    refused(save({"generator": weights}), "no generator_ema", "generator", which="generator_ema")
    with pytest.raises(ValueError, match="which is 'critic'"):
        read_generator(save({"generator": weights}), "critic")


def test_the_number_of_heads_comes_from_the_caller_the_file_or_the_width(tmp_path, save, weights):
    refused(save(weights), "32 wide", "num_heads", num_heads=None)
    with pytest.raises(ValueError, match="5 heads"):
        read_generator(save(weights), num_heads=5)
    path = tmp_path / "with_heads.safetensors"
    save_file(weights, path, metadata={"config": json.dumps({"transformer": {"num_heads": 4}})})
    assert read_generator(path).config.num_heads == 4
    assert read_generator(path, num_heads=2).config.num_heads == 2


@pytest.mark.parametrize("config", ["{", "[1]", '{"transformer": 5}', '{"transformer": {"num_heads": "many"}}'])
def test_senseless_metadata_is_refused(config, tmp_path, weights):
    save_file(weights, tmp_path / "odd.safetensors", metadata={"config": config})
    with pytest.raises(ValueError, match=r"config|num_heads"):
        read_generator(tmp_path / "odd.safetensors")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_keep_the_precision_of_the_file_until_they_are_cast(dtype, save, weights):
    read = read_generator(save(cast(weights, dtype)), num_heads=2)
    assert {tensor.dtype for tensor in read.state_dict.values()} == {dtype}
    full = cast(read.state_dict, torch.float32)
    assert all(torch.equal(full[key], tensor.to(dtype).float()) for key, tensor in weights.items())


def test_weights_are_not_cast_to_what_the_model_cannot_run_in(weights):
    with pytest.raises(ValueError, match="int8"):
        cast(weights, torch.int8)


def test_the_published_checkpoint_layouts_are_read(golden):
    base = read_generator(golden / "fmt_base.pt", num_heads=2)
    both = read_generator(golden / "fmt_base_ema.pt", num_heads=2)
    ema = read_generator(golden / "fmt_base_ema.pt", "generator_ema", num_heads=2)
    assert base.config == both.config == ema.config
    assert base.config.dim == 32 and base.config.num_layers == 2 and base.config.text_dim == 16
    dtypes = [read.state_dict["head.head.weight"].dtype for read in (base, both, ema)]
    assert dtypes == [torch.float32, torch.bfloat16, torch.float32]


# -- wrong models --------------------------------------------------------------------------------------------

WRONG = {
    "VAE": (["encoder.conv1.weight", "decoder.middle.0.residual.0.gamma", "conv1.weight"], "is a VAE"),
    "SD VAE": (["first_stage_model.decoder.mid.block_1.norm1.weight"], "is a VAE"),
    "umt5": (
        ["token_embedding.weight", "blocks.0.attn.q.weight", "blocks.0.ffn.gate.0.weight"],
        "text encoder",
    ),
    "umt5 of ComfyUI": (["shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"], "text encoder"),
    "CLIP vision": (["visual.transformer.0.attn.to_qkv.weight", "log_scale"], "CLIP vision"),
    "PEFT LoRA": (["base_model.model.blocks.0.self_attn.q.lora_A.weight"], "is a LoRA"),
    "ComfyUI LoRA": (["diffusion_model.blocks.0.self_attn.q.lora_down.weight"], "is a LoRA"),
    "stock LoRA": (["lora_unet_blocks_0_self_attn_q.lora_down.weight"], "is a LoRA"),
    "diffusers": (
        ["condition_embedder.time_embedder.linear_1.weight", "blocks.0.attn1.to_q.weight"],
        "diffusers",
    ),
    "SDXL": (["model.diffusion_model.input_blocks.0.0.weight"], "Stable Diffusion"),
    "Flux": (["double_blocks.0.img_attn.qkv.weight"], "Flux"),
    "VACE module": (
        ["vace_patch_embedding.weight", "vace_blocks.0.self_attn.q.weight", "vace_blocks.0.before_proj.weight"],
        "is the VACE part of a Wan model, without a generator",
    ),
    "audio module": (
        ["audio_proj.proj1.weight", "blocks.0.audio_cross_attn.q_linear.weight"],
        "part of a Wan model, without a generator",
    ),
    "critic": (["critic.model.blocks.0.self_attn.q.weight"], "critic"),
    "anything": (["layer1.weight", "layer1.bias"], "not a Wan model"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_model_of_another_kind_is_named(kind, save):
    keys, message = WRONG[kind]
    refused(save({key: torch.ones(2, 2) for key in keys}), message)


def test_an_image_to_video_model_is_named_with_its_size_and_channels(save):
    i2v = ModelConfig(dim=5120, num_heads=40, num_layers=2, ffn_dim=13824, text_dim=4096, in_channels=36)
    weights = {**zeros(i2v), "img_emb.proj.0.weight": torch.zeros(1280)}
    refused(save(weights), "14B I2V checkpoint", "36 input channels", num_heads=None)


def test_a_vace_model_is_named(save, weights):
    refused(save({**weights, "vace_patch_embedding.weight": torch.zeros(1)}), "VACE")


@pytest.mark.parametrize("gone", ["blocks.17.ffn.0.weight", "head.modulation", "patch_embedding.weight"])
def test_a_missing_weight_is_named(gone, save):
    weights = zeros(WAN_1_3B)
    del weights[gone]
    refused(save(weights), f"missing {gone}", num_heads=None)


def test_a_missing_block_is_named(save):
    weights = {key: tensor for key, tensor in zeros(WAN_1_3B).items() if not key.startswith("blocks.17.")}
    refused(save(weights), "missing blocks.17.", "more", num_heads=None)


def test_weights_that_do_not_belong_are_named(save, weights):
    refused(save({**weights, "blocks.0.extra.weight": torch.ones(1)}), "also holds blocks.0.extra.weight")
    # no time and memory is spent on blocks that exist in a key alone
    refused(save({**weights, f"blocks.{'9' * 5000}.x": torch.ones(1)}), "missing blocks.2")


@pytest.mark.parametrize("key", ["blocks.1.ffn.2.weight", "patch_embedding.weight", "head.head.weight"])
def test_a_shape_that_does_not_fit_is_named(key, save, weights):
    refused(save({**weights, key: torch.ones(3)}), "does not fit together", key, "[3]")


def test_one_weight_under_two_names_is_refused(save, weights):
    refused(save({**weights, "module.head.head.bias": weights["head.head.bias"]}), "head.head.bias twice")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_that_is_no_number_is_named(value, dtype, save, weights):
    broken = cast(weights, dtype)
    broken["blocks.1.cross_attn.k.weight"][5, 7] = value
    refused(save(broken), "blocks.1.cross_attn.k.weight", "NaN or infinity")
    with pytest.raises(ValueError, match=r"blocks\.1\.cross_attn\.k\.weight"):
        check_finite("x", broken)


def test_quantised_files_are_sent_to_the_loader_that_reads_them(save, weights):
    fp8 = {key: tensor.to(torch.float8_e4m3fn) if tensor.ndim == 2 else tensor for key, tensor in weights.items()}
    refused(save(fp8), "quantised", "float8_e4m3fn", "Load Diffusion Model")
    refused(save({**fp8, "scaled_fp8": torch.zeros(1)}), "quantised")
    refused(save({**weights, "blocks.0.ffn.0.scale_weight": torch.ones(1)}), "quantised")
    refused(save({**weights, "head.head.weight": torch.ones(64, 32, dtype=torch.int8)}), "quantised", "int8")


# -- wrong files ---------------------------------------------------------------------------------------------


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weight file"):
        read_generator(tmp_path / "nothing.pt")
    with pytest.raises(ValueError, match="is a folder"):
        read_generator(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html>\n<html><title>404</title></html>", "web page"),
        (b"<html>sign in first</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        (b"GGUF\x03\x00\x00\x00" + bytes(64), "GGUF"),
        (b'{"_class_name": "WanTransformer3DModel"}', "JSON"),
        (b"some words", "neither"),
        (bytes(1000), "neither"),
    ],
)
def test_what_is_no_weight_file_is_named(content, message, save):
    refused(save(content), message)


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(ending, share, save, weights):
    path = save(weights, ending)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, "damaged")


def test_a_truncated_file_of_the_old_format_is_refused(tmp_path, weights):
    path = tmp_path / "old.pt"
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for share in (0.001, 0.01, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path, "damaged")


class Exploit:
    """An object whose unpickling makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("old_format", [False, True])
def test_code_in_a_file_is_never_run(old_format, tmp_path, weights):
    trap, path = tmp_path / "trap", tmp_path / "evil.pt"
    content = {**weights, "trap": Exploit(trap)}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    refused(path, "mkdir", "nothing in it was run")
    path.write_bytes(pickle.dumps(Exploit(trap), protocol=2))
    refused(path, "nothing in it was run")
    assert not trap.exists()


def test_archives_that_are_no_weights_are_named(tmp_path):
    path = tmp_path / "weights.zip"
    for member, message in (("readme.txt", "zip archive"), ("model/constants.pkl", "TorchScript")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, "x")
        refused(path, message)


def test_content_without_named_weights_is_refused(save):
    refused(save([torch.ones(1)]), "holds a list")
    refused(save({"epoch": 3}), "holds no tensors")


def test_a_file_that_holds_itself_is_refused(save):
    endless: dict = {"x": torch.ones(1)}
    endless["again"] = endless
    refused(save(endless), "nested")


def test_tensors_without_plain_numbers_are_refused(save, weights):
    for odd in (torch.eye(3).to_sparse(), torch.ones(3, device="meta")):
        refused(save({**weights, "blocks.0.ffn.0.bias": odd}), "blocks.0.ffn.0.bias")
