"""MemFlow Load Model, and what the sampler takes for a model: precision, wrong files, wrong models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

DEFAULTS = {"lora_name": "none", "lora_strength": 1.0, "lora_alpha": 0.0, "weights": "auto", "weight_dtype": "default"}


@pytest.fixture(scope="module")
def folder(pack, tmp_path_factory) -> Path:
    """A folder of ComfyUI's for diffusion models, and for LoRAs too."""
    import folder_paths

    folder = tmp_path_factory.mktemp("loader")
    for kind in ("diffusion_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(folder))
    return folder


@pytest.fixture(scope="module")
def weights(generator_file) -> dict[str, torch.Tensor]:
    return load_file(generator_file)


def load(tiny, name: str, **changes):
    return tiny.nodes.loaders.MemFlowLoadModel.execute(model_name=name, **{**DEFAULTS, **changes}).result[0]


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_precision_is_what_was_asked_for(tiny, folder, weights, dtype):
    torch.save({"generator": weights}, folder / "base.pt")
    model = load(tiny, "base.pt", weight_dtype=dtype)
    assert model.model.diffusion_model.blocks[0].self_attn.q.weight.dtype == tiny.nodes.host.DTYPES[dtype]
    made, exact = tiny.sample(model=model)[0], tiny.sample()[0]
    # far from equal at lower precision, since a stream feeds on its own frames, but the same kind of picture
    assert bool(torch.isfinite(made).all()) and made.std() == pytest.approx(exact.std().item(), rel=0.2)


def _truncated(weights: dict, path: Path) -> None:
    save_file(weights, path)
    path.write_bytes(path.read_bytes()[:-1000])


def _without_a_block(weights: dict, path: Path) -> None:
    save_file({key: value for key, value in weights.items() if key != "blocks.0.ffn.0.weight"}, path)


def _with_nan(weights: dict, path: Path) -> None:
    save_file(weights | {"head.head.bias": torch.full_like(weights["head.head.bias"], torch.nan)}, path)


def _image_to_video(weights: dict, path: Path) -> None:
    wide = weights["patch_embedding.weight"].repeat(1, 3, 1, 1, 1)[:, :36].contiguous()
    save_file(weights | {"patch_embedding.weight": wide}, path)


def _lora(weights: dict, path: Path) -> None:
    halves = {"A": torch.zeros(2, 128), "B": torch.zeros(128, 2)}
    save_file({f"diffusion_model.blocks.0.self_attn.q.lora_{half}.weight": halves[half] for half in halves}, path)


WRONG = {
    "truncated": (_truncated, "damaged or cut off"),
    "not whole": (_without_a_block, "blocks.0.ffn.0.weight"),
    "NaN": (_with_nan, "head.head.bias holds NaN"),
    "image to video": (_image_to_video, "36 input channels"),
    "LoRA": (_lora, "is a LoRA"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_with_what_it_is(tiny, folder, weights, name):
    write, message = WRONG[name]
    file = f"{name.replace(' ', '_')}.safetensors"
    write(weights, folder / file)
    with pytest.raises(ValueError, match=message) as error:
        load(tiny, file)
    assert "\n" not in str(error.value) and file in str(error.value)


def test_a_vae_is_refused_with_what_it_is(tiny, folder, generator_file):
    (folder / "vae.safetensors").write_bytes(generator_file.with_name("tiny_story_vae.safetensors").read_bytes())
    with pytest.raises(ValueError, match="is a VAE"):
        load(tiny, "vae.safetensors")


def test_a_missing_file_is_named(tiny, folder):
    with pytest.raises(FileNotFoundError, match="gone.pt"):
        load(tiny, "gone.pt")


def test_a_lora_for_another_model_is_refused(tiny, folder, weights):
    save_file(weights, folder / "plain.safetensors")
    halves = {"A": torch.zeros(2, 1536), "B": torch.zeros(1536, 2)}
    torch.save({f"base_model.model.blocks.9.ffn.0.lora_{h}.weight": halves[h] for h in halves}, folder / "big.pt")
    with pytest.raises(ValueError, match="LoRA for another model"):
        load(tiny, "plain.safetensors", lora_name="big.pt")


def test_the_sampler_refuses_a_model_that_needs_an_image(tiny, weights):
    import comfy.sd

    wide = weights["patch_embedding.weight"].repeat(1, 3, 1, 1, 1)[:, :36].contiguous()
    config = {"config": json.dumps({"transformer": {"text_dim": weights["text_embedding.0.weight"].shape[1]}})}
    state_dict = {key: value.clone() for key, value in (weights | {"patch_embedding.weight": wide}).items()}
    model = comfy.sd.load_diffusion_model_state_dict(state_dict, metadata=config)
    with pytest.raises(ValueError, match="36 input channels"):
        tiny.sample(model=model)


@pytest.mark.parametrize("dtype", ["default", "fp8"])
def test_comfyui_can_copy_a_model_for_another_device(tiny, folder, weights, dtype):
    """Select Model Device and MultiGPU CFG Split read the weights anew; a LoRA is there as before."""
    save_file(weights, folder / "plain.safetensors")
    rows, columns = weights["blocks.0.self_attn.q.weight"].shape
    halves = {"A": torch.randn(2, columns) / 4, "B": torch.randn(rows, 2) / 4}
    torch.save({f"base_model.model.blocks.0.self_attn.q.lora_{h}.weight": halves[h] for h in halves}, folder / "l.pt")
    model = load(tiny, "plain.safetensors", lora_name="l.pt", weight_dtype=dtype)
    other = model.clone(force_deepcopy=True)
    assert other.model is not model.model
    assert other.model.diffusion_model.patch_embedding.weight.data_ptr() != (
        model.model.diffusion_model.patch_embedding.weight.data_ptr()
    )
    assert torch.equal(tiny.sample(model=other)[0], tiny.sample(model=model)[0])


@pytest.mark.parametrize(
    ("own", "published"), [("memflow_base.pt", "base.pt"), ("longlive2_5b_bf16.pt", "model_bf16.pt")]
)
def test_a_file_is_found_under_the_name_it_is_published_by_and_under_its_own(
    pack, tmp_path, monkeypatch, own, published
):
    import folder_paths

    host = pack.nodes.host
    # files that other tests left in other folders are none of this test's
    for kind in folder_paths.folder_names_and_paths:
        places = [str(tmp_path)] if kind == "diffusion_models" else []
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, (places, {".pt"}))
    listed = lambda: {name for name in host.model_files("diffusion_models") if name in (own, published)}  # noqa: E731
    assert listed() == set()
    with pytest.raises(FileNotFoundError, match=own):
        host.model_path("diffusion_models", own)
    for there, other in ((own, published), (published, own)):
        (tmp_path / there).write_bytes(b"")
        assert listed() == {own, published}
        assert host.model_path("diffusion_models", there) == host.model_path("diffusion_models", other)
        # what was kept of a story is known again by either name, until the file changes
        assert host.stamps_of(there) == host.stamps_of(other) != []
        (tmp_path / there).unlink()
    # with both of them each is itself
    for name in (own, published):
        (tmp_path / name).write_bytes(b"")
    assert sorted(host.model_files("diffusion_models")) == sorted((own, published))
    assert {Path(host.model_path("diffusion_models", name)).name for name in (own, published)} == {own, published}
    # a name counts in its own folder alone
    with pytest.raises(FileNotFoundError):
        host.model_path("loras", own)
