"""A generator's weights in FP8, in ComfyUI's own dialect of quantised checkpoints (its QUANTIZATION.md).

The matrices of the blocks' linear layers, 98 % of the 1.3B model, become float8 e4m3 with one scale each; embeddings,
norms, modulation and head stay as they are. A scale is a power of two, so that what ComfyUI makes of a weight is exact
in the precision that it computes in. ComfyUI's layout for these files has one scale a matrix; one a row would change
nothing that three digits of the error show (benchmarks/README.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..config import ModelConfig
from ..model import fp8

# weights are read in the precision that activations have: nothing is lost but what they lose here
LAYER = {"format": "float8_e4m3fn", "full_precision_matrix_mult": True}


def quantised(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in plain Wan keys -> the same in FP8, with a scale and a note to ComfyUI beside each."""
    made = dict(state_dict)
    note = torch.tensor(list(json.dumps(LAYER).encode()), dtype=torch.uint8)
    for key in _matrices(state_dict):
        bits, scale = fp8.encode(state_dict[key].float())
        module = key.removesuffix(".weight")
        made |= {key: bits.view(torch.float8_e4m3fn), f"{module}.weight_scale": scale, f"{module}.comfy_quant": note}
    return made


def save_quantised(state_dict: Mapping[str, Tensor], config: ModelConfig, path: str | Path) -> None:
    """Write a safetensors file that ComfyUI's Load Diffusion Model reads. The weights are in plain Wan keys."""
    made = {key: tensor.contiguous() for key, tensor in quantised(state_dict).items() if "comfy_quant" not in key}
    layers = {key.removesuffix(".weight"): LAYER for key in _matrices(state_dict)}
    # what ComfyUI cannot tell from the weights' shapes
    sizes = {name: getattr(config, name) for name in ("text_dim", "freq_dim", "num_heads")}
    metadata = {
        "_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers}),
        "config": json.dumps({"transformer": sizes}),
    }
    save_file(made, path, metadata=metadata)


def _matrices(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Keys of the linear layers' weights in the blocks."""
    return [
        key for key, weight in state_dict.items()
        if key.startswith("blocks.") and key.endswith(".weight") and weight.ndim == 2
    ]  # fmt: skip
