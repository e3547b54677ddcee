"""Precision that training computes in: bfloat16, or float32 on a CPU that has no products of bfloat16."""

from __future__ import annotations

import torch


def product_dtype(device: torch.device) -> torch.dtype:
    """The dtype in which a device multiplies matrices fastest, of bfloat16 and float32.

    Without AVX-512 (Intel's and AMD's desktop CPUs) or on ARM, products and convolutions in bfloat16 take twenty to
    fifty times as long as in float32.
    """
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"
    return torch.float32 if slow else torch.bfloat16


def mixed_precision(device: torch.device) -> torch.autocast:
    """Autocast products and convolutions to `product_dtype`: as a context."""
    dtype = product_dtype(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype != torch.float32)
