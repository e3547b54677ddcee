"""Numbers in the weights of a model, compared with models that are made."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import ModelConfig
from memflow_core.model import ModelSize, WanModel, fp8_bytes_of, weights_of
from memflow_core.weights import quantised


@pytest.mark.parametrize("sizes", [(32, 2, 3, 48, 8, 16), (24, 2, 1, 40, 12, 4)])
def test_the_weights_of_a_model_are_counted(sizes):
    dim, heads, layers, ffn, text, channels = sizes
    config = ModelConfig(dim, heads, layers, ffn, text, in_channels=channels, out_channels=channels)
    assert weights_of(ModelSize.of(config)) == sum(number.numel() for number in WanModel(config).parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_of_a_model_in_fp8_are_counted(dtype):
    config = ModelConfig(32, 2, 3, 48, 8, in_channels=16, out_channels=16)
    tensors = quantised(WanModel(config).to(dtype).state_dict())
    made = sum(tensor.nbytes for key, tensor in tensors.items() if not key.endswith("comfy_quant"))
    assert fp8_bytes_of(ModelSize.of(config, dtype.itemsize)) == made


def test_the_real_model_weighs_what_its_file_does():
    """2.6 GB in bfloat16."""
    assert weights_of(ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960)) == 1_418_996_800
