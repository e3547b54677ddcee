"""LoRA files: merged exactly, renamed for ComfyUI, refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from memflow_core.weights import read_generator, read_lora
from memflow_core.weights.files import cast

MODULES = {"blocks.0.self_attn.q": (32, 32), "blocks.1.ffn.0": (48, 32), "blocks.1.ffn.2": (32, 48)}
RANK = 4


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    state_dict = {f"{m}.weight": torch.randn(shape, generator=generator) for m, shape in MODULES.items()}
    return {**state_dict, "head.head.bias": torch.randn(64, generator=generator)}


@pytest.fixture
def halves() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """module -> A [rank, in], B [out, rank]."""
    generator = torch.Generator().manual_seed(8)
    return {
        module: (
            torch.randn(RANK, columns, generator=generator),
            torch.randn(rows, RANK, generator=generator),
        )
        for module, (rows, columns) in MODULES.items()
    }


def peft(halves: dict, infix: str = "", prefix: str = "base_model.model.") -> dict[str, torch.Tensor]:
    named = {}
    for module, (down, up) in halves.items():
        named[f"{prefix}{module}.lora_A{infix}.weight"] = down
        named[f"{prefix}{module}.lora_B{infix}.weight"] = up
    return named


def comfy(halves: dict, alpha: float | None = None) -> dict[str, torch.Tensor]:
    named = {}
    for module, (down, up) in halves.items():
        named[f"diffusion_model.{module}.lora_down.weight"] = down
        named[f"diffusion_model.{module}.lora_up.weight"] = up
        if alpha is not None:
            named[f"diffusion_model.{module}.alpha"] = torch.tensor(alpha)
    return named


DIALECTS = {
    "official": lambda halves: {"generator_lora": peft(halves), "critic_lora": peft(halves), "step": 5},
    "bare": peft,
    "named adapter": lambda halves: peft(halves, ".default"),
    "sharded": lambda halves: peft(halves, prefix="base_model.model._fsdp_wrapped_module."),
    "wrapped twice": lambda halves: peft(halves, prefix="base_model.model.model."),
    "ComfyUI": comfy,
    "ComfyUI, PEFT halves": lambda halves: peft(halves, prefix="diffusion_model."),
    "plain": lambda halves: peft(halves, prefix=""),
}


@pytest.fixture
def save(tmp_path):
    """save(content) -> the path of a .pt file that holds it."""

    def write(content) -> Path:
        torch.save(content, tmp_path / "lora.pt")
        return tmp_path / "lora.pt"

    return write


def merged_by_hand(weights: dict, halves: dict, factor: float) -> dict[str, torch.Tensor]:
    merged = dict(weights)
    for module, (down, up) in halves.items():
        merged[f"{module}.weight"] = weights[f"{module}.weight"] + factor * (up @ down)
    return merged


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_merges_to_the_same_numbers(dialect, save, weights, halves):
    lora = read_lora(save(DIALECTS[dialect](halves)))
    assert lora.layers.keys() == MODULES.keys()
    assert same(lora.merge(weights, alpha=8), merged_by_hand(weights, halves, 2.0))


def test_safetensors_files_are_read(tmp_path, weights, halves):
    save_file(peft(halves), tmp_path / "lora.safetensors")
    lora = read_lora(tmp_path / "lora.safetensors")
    assert same(lora.merge(weights), merged_by_hand(weights, halves, 1.0))


@pytest.mark.parametrize(
    ("alpha", "strength", "factor"), [(None, 1.0, 1.0), (2, 1.0, 0.5), (8, -0.75, -1.5), (6, 2.0, 3.0)]
)
def test_alpha_over_rank_times_strength_is_the_factor(alpha, strength, factor, save, weights, halves):
    lora = read_lora(save(peft(halves)))
    assert same(lora.merge(weights, strength, alpha), merged_by_hand(weights, halves, factor))


def test_the_alpha_of_a_file_counts_unless_one_is_given(save, weights, halves):
    lora = read_lora(save(comfy(halves, alpha=2.0)))
    assert same(lora.merge(weights), merged_by_hand(weights, halves, 0.5))
    assert same(lora.merge(weights, alpha=12), merged_by_hand(weights, halves, 3.0))


def test_each_layer_is_scaled_by_its_own_rank(save, weights, halves):
    module = "blocks.1.ffn.2"
    halves[module] = (torch.randn(16, 48), torch.randn(32, 16))
    merged = read_lora(save(peft(halves))).merge(weights, alpha=8)
    down, up = halves[module]
    assert torch.equal(merged[f"{module}.weight"], weights[f"{module}.weight"] + 0.5 * (up @ down))
    down, up = halves["blocks.1.ffn.0"]
    assert torch.equal(merged["blocks.1.ffn.0.weight"], weights["blocks.1.ffn.0.weight"] + 2.0 * (up @ down))


def test_merging_leaves_its_input_alone_and_strength_0_changes_nothing(save, weights, halves):
    before = {key: tensor.clone() for key, tensor in weights.items()}
    lora = read_lora(save(peft(halves)))
    merged = lora.merge(weights)
    assert same(weights, before)
    assert merged["head.head.bias"] is weights["head.head.bias"]
    assert not torch.equal(merged["blocks.0.self_attn.q.weight"], before["blocks.0.self_attn.q.weight"])
    assert same(lora.merge(weights, strength=0), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_weights_are_rounded_once(dtype, save, weights, halves):
    low = cast(weights, dtype)
    half_precision = {module: (down.to(dtype), up.to(dtype)) for module, (down, up) in halves.items()}
    merged = read_lora(save(peft(half_precision))).merge(low, strength=0.01)
    assert {tensor.dtype for tensor in merged.values()} == {dtype}
    for module, (down, up) in half_precision.items():
        exact = low[f"{module}.weight"].double() + 0.01 * (up.double() @ down.double())
        # to the nearest number of that precision, or its neighbour where two are equally near
        spacing = torch.finfo(dtype).eps * exact.abs().clamp_min(1e-3)
        assert ((merged[f"{module}.weight"].double() - exact).abs() <= 0.501 * spacing).all()


def test_the_recorded_merge_is_met_to_the_last_bit(golden):
    base = read_generator(golden / "fmt_base.pt", num_heads=2).state_dict
    merged = read_lora(golden / "fmt_lora.pt").merge(base, alpha=8)
    recorded = {
        key.removeprefix("merged."): tensor
        for key, tensor in load_file(golden / "fmt_ckpt.safetensors").items()
        if key.startswith("merged.")
    }
    assert recorded
    for key, tensor in recorded.items():
        torch.testing.assert_close(merged[key], tensor, rtol=0, atol=1e-7)


@pytest.mark.parametrize("alpha", [None, 8.0])
def test_comfyui_gets_the_same_lora_in_its_own_names(alpha, tmp_path, save, weights, halves):
    lora = read_lora(save({"generator_lora": peft(halves)}))
    renamed = lora.to_comfy_keys(alpha)
    assert all(key.startswith("diffusion_model.blocks.") for key in renamed)
    assert renamed["diffusion_model.blocks.0.self_attn.q.alpha"].item() == (alpha or RANK)
    assert torch.equal(renamed["diffusion_model.blocks.1.ffn.0.lora_B.weight"], halves["blocks.1.ffn.0"][1])
    # a round trip through a file of ComfyUI's gives the same change
    save_file(renamed, tmp_path / "comfy.safetensors")
    assert same(read_lora(tmp_path / "comfy.safetensors").merge(weights), lora.merge(weights, alpha=alpha))


# -- what is refused -----------------------------------------------------------------------------------------


def refused(path: Path, *words: str) -> None:
    """Assert that the file is refused with a message of one line that holds these words."""
    with pytest.raises(ValueError) as caught:
        read_lora(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message and message.endswith(".")
    for word in words:
        assert word in message


def test_other_files_are_named(save, golden):
    refused(golden / "fmt_base.pt", "is a model, not a LoRA", "generator")
    refused(save({"decoder.middle.0.residual.0.gamma": torch.ones(1)}), "is a VAE")
    refused(save({"shared.weight": torch.ones(1)}), "text encoder")
    refused(save({"a.weight": torch.ones(1)}), "not a LoRA", "a.weight")
    refused(save({"step": 3}), "no tensors")
    refused(save(b"<!doctype html>"), "bytes")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lora\.pt"):
        read_lora(tmp_path / "lora.pt")


def test_loras_of_another_make_are_sent_to_comfyui(save, halves):
    down, up = halves["blocks.0.self_attn.q"]
    stock = {
        "lora_unet_blocks_0_self_attn_q.lora_down.weight": down,
        "lora_unet_blocks_0_self_attn_q.lora_up.weight": up,
        "lora_unet_blocks_0_self_attn_q.alpha": torch.tensor(4.0),
    }
    refused(save(stock), "ComfyUI's own LoRA loader")
    refused(save({**peft(halves), "blocks.0.norm3.diff": torch.ones(32)}), "blocks.0.norm3.diff")
    dora = {"base_model.model.blocks.0.self_attn.q.lora_magnitude_vector": torch.ones(32)}
    refused(save({**peft(halves), **dora}), "lora_magnitude_vector")
    refused(save({"lora_unet_blocks_0_ffn_0.hada_w1_a": torch.ones(2)}), "ComfyUI's own LoRA loader")


def test_a_critics_lora_is_refused(save, halves):
    refused(save({"critic_lora": peft(halves)}), "critic")


def test_an_incomplete_lora_is_refused(save, halves):
    content = peft(halves)
    del content["base_model.model.blocks.1.ffn.0.lora_B.weight"]
    refused(save(content), "blocks.1.ffn.0", "only lora_A")
    refused(save({**peft(halves), "blocks.0.ffn.0.alpha": torch.tensor(1.0)}), "blocks.0.ffn.0", "no weights")


def test_halves_that_do_not_fit_together_are_refused(save, halves):
    for down, up in ((torch.ones(4, 32), torch.ones(32, 5)), (torch.ones(0, 32), torch.ones(32, 0))):
        halves["blocks.0.self_attn.q"] = down, up
        refused(save(peft(halves)), "does not fit together", "blocks.0.self_attn.q")


def test_two_loras_in_one_file_are_refused(save, halves):
    refused(save({**peft(halves, ".default"), **peft(halves, ".second")}), "more than one LoRA")
    refused(save({**peft(halves), **peft(halves, prefix="diffusion_model.")}), "twice")


def test_damaged_and_quantised_loras_are_refused(save, halves):
    halves["blocks.1.ffn.2"][0][2, 3] = float("nan")
    refused(save(peft(halves)), "blocks.1.ffn.2.lora_A.weight", "NaN")
    fp8 = {module: tuple(half.to(torch.float8_e4m3fn) for half in pair) for module, pair in halves.items()}
    refused(save(peft(fp8)), "quantised")


def test_a_lora_for_another_model_is_refused_before_anything_is_merged(save, weights, halves):
    lora = read_lora(save(peft(halves)))
    narrow = {key: tensor for key, tensor in weights.items() if "ffn.2" not in key}
    for merge in (lora.merge, lora.check_fits):
        with pytest.raises(ValueError, match=r"another model.*blocks\.1\.ffn\.2"):
            merge(narrow)
        with pytest.raises(ValueError, match=r"blocks\.1\.ffn\.2 as \[32, 48\].*\[32, 64\]"):
            merge({**weights, "blocks.1.ffn.2.weight": torch.ones(32, 64)})


def test_senseless_numbers_are_refused(save, weights, halves):
    lora = read_lora(save(peft(halves)))
    for strength in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="strength"):
            lora.merge(weights, strength)
    for alpha in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="alpha"):
            lora.merge(weights, alpha=alpha)
        with pytest.raises(ValueError, match="alpha"):
            lora.to_comfy_keys(alpha)
