"""Tiny twins of published checkpoints: their layout, names and dialects, with few and narrow layers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memflow_core.config import ModelConfig
from memflow_core.model import WanModel

TEXT = 128  # width of the tiny text encoder's embeddings
FSDP = "model._fsdp_wrapped_module."


def random_weights(**sizes: int) -> dict[str, Tensor]:
    """Weights of a small Wan tree in plain keys; head width 128, as in every file without metadata."""
    config = ModelConfig(**{"dim": 128, "num_heads": 1, "num_layers": 2, "ffn_dim": 160, "text_dim": TEXT, **sizes})
    generator = torch.Generator().manual_seed(4)
    tree = WanModel(config)
    weights = {}
    for name, parameter in tree.state_dict().items():
        spread = 1.0 if "norm" in name else 0.3 if "modulation" in name else 0.08 if parameter.ndim > 1 else 0.02
        noise = torch.randn(parameter.shape, generator=generator)
        weights[name] = 1 + 0.05 * noise if "norm" in name and name.endswith("weight") else spread * noise
    return weights


def in_dialect(weights: dict[str, Tensor], dialect: str) -> dict[str, Any]:
    """A checkpoint's content: `generator` as MemFlow's, `averaged` with an EMA beside it, `plain` as merged files."""
    wrapped = {f"model.{key}": value for key, value in weights.items()}
    if dialect == "generator":
        return {"generator": wrapped}
    if dialect == "averaged":
        averaged = {f"{FSDP}{key}": value * (0.999 if value.ndim > 1 else 1) for key, value in weights.items()}
        return {"generator": wrapped, "generator_ema": averaged, "step": torch.tensor(3)}
    return dict(weights)


def write(folder: Path, name: str, content: dict[str, Any]) -> str:
    """Write a checkpoint below ComfyUI's folder; returns its name there."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({key: value.contiguous() for key, value in content.items()}, path)
    else:
        torch.save(content, path)
    return name


def vae_of_22(vae: Any) -> Any:
    """A `VAE` of Wan 2.2's kind with narrow layers: 48 channels, 16 x 16 pixels a latent. vae: any Wan 2.1 `VAE`."""
    import comfy.model_patcher
    from comfy.ldm.wan.vae2_2 import WanVAE

    twin = copy.copy(vae)
    random_numbers = torch.Generator().manual_seed(6)
    network = WanVAE(dim=8, dec_dim=8, z_dim=48, num_res_blocks=1, temperal_downsample=[False, True, True])
    for name, parameter in network.named_parameters():
        # ComfyUI's layers are made without numbers
        noise = torch.randn(parameter.shape, generator=random_numbers)
        weight = noise * 1.2 / max(1, parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.05 * noise
        parameter.data = torch.ones_like(noise) if name.endswith("gamma") else weight
    twin.first_stage_model = network.eval().requires_grad_(False).to(vae.vae_dtype)
    twin.latent_channels = 48
    twin.upscale_ratio = (lambda frames: max(0, frames * 4 - 3), 16, 16)
    twin.upscale_index_formula = (4, 16, 16)
    twin.downscale_ratio = (lambda frames: max(0, (frames + 3) // 4), 16, 16)
    twin.downscale_index_formula = (4, 16, 16)
    load = vae.patcher.load_device, vae.patcher.offload_device
    twin.patcher = comfy.model_patcher.CoreModelPatcher(
        twin.first_stage_model, load_device=load[0], offload_device=load[1]
    )
    return twin
