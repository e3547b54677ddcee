"""Quantise a generator's weights to FP8, in ComfyUI's own dialect of quantised checkpoints (its QUANTIZATION.md).

The matrices of the blocks' linear layers, 98 % of the 1.3B model, become float8 e4m3 with one scale each; embeddings,
norms, modulation and head stay as they are. A scale is a power of two, so that ComfyUI dequantises a weight exactly in
the precision that it computes in. ComfyUI's layout for these files has one scale a matrix; one a row would change
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

# products are computed in the precision of the activations: only the weights lose any
LAYER = {"format": "float8_e4m3fn", "full_precision_matrix_mult": True}


def quantised(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in plain Wan keys, any floating point dtype -> the same with the blocks' matrices in FP8.

    Beside each matrix `<module>.weight` [out, in] float8 stand `<module>.weight_scale` [] float32 and
    `<module>.comfy_quant`, JSON as bytes, by which ComfyUI recognises it.
    """
    quantised_dict = dict(state_dict)
    marker = torch.tensor(list(json.dumps(LAYER).encode()), dtype=torch.uint8)
    for key in _matrices(state_dict):
        bits, scale = fp8.encode(state_dict[key].float())
        module = key.removesuffix(".weight")
        quantised_dict[key] = bits.view(torch.float8_e4m3fn)
        quantised_dict[f"{module}.weight_scale"] = scale
        quantised_dict[f"{module}.comfy_quant"] = marker
    return quantised_dict


def save_quantised(state_dict: Mapping[str, Tensor], config: ModelConfig, path: str | Path) -> None:
    """Write weights in plain Wan keys to an FP8 safetensors file that ComfyUI's Load Diffusion Model reads."""
    # the file says the same of all layers in its metadata
    tensors = {key: tensor.contiguous() for key, tensor in quantised(state_dict).items() if "comfy_quant" not in key}
    layers = {key.removesuffix(".weight"): LAYER for key in _matrices(state_dict)}
    # sizes that the weights' shapes do not show to ComfyUI
    sizes = {name: getattr(config, name) for name in ("text_dim", "freq_dim", "num_heads")}
    metadata = {
        "_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers}),
        "config": json.dumps({"transformer": sizes}),
    }
    save_file(tensors, path, metadata=metadata)


def _matrices(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Keys of the weights of the blocks' linear layers."""
    return [
        key for key, weight in state_dict.items()
        if key.startswith("blocks.") and key.endswith(".weight") and weight.ndim == 2
    ]  # fmt: skip
