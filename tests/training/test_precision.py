"""Precision of training: bfloat16, but on CPUs that would take many times as long in it."""

from __future__ import annotations

import pytest
import torch

from training.precision import mixed_precision, product_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capability", "dtype"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32), ("DEFAULT", torch.float32)]
)
def test_a_cpu_without_wide_vectors_multiplies_in_float32(capability, dtype, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    x = torch.randn(4, 4)
    with mixed_precision(CPU):
        assert (x @ x).dtype == dtype == product_dtype(CPU)
    assert product_dtype(torch.device("cuda")) == torch.bfloat16
