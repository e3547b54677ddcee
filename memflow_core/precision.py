"""How precisely a device can compute."""

from __future__ import annotations

import torch


def widest(device: torch.device | str) -> torch.dtype:
    """float64, or float32 on Apple's MPS, which has nothing wider."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64
