"""Precision that training computes in: bfloat16, or float32 on a CPU without AVX-512."""

from __future__ import annotations

import torch


def product_dtype(device: torch.device) -> torch.dtype:
    """bfloat16, or float32 where a CPU has no AVX-512.

    On one with AVX2 alone torch's products in bfloat16 took twenty to fifty times as long, and its convolutions six
    times. No other CPUs, as those of ARM, were tried: there float32 is the safe choice.
    """
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"
    return torch.float32 if slow else torch.bfloat16


def mixed_precision(device: torch.device) -> torch.autocast:
    """Autocast products and convolutions to `product_dtype`: as a context."""
    return torch.autocast(device.type, torch.bfloat16, enabled=product_dtype(device) == torch.bfloat16)
