"""Fixtures: a generator to train."""

from __future__ import annotations

import pytest
import torch

from training.generator import PRESETS, Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    """Random weights everywhere, so that no layer is without effect."""
    torch.manual_seed(5)
    generator = Generator(PRESETS["small"])
    with torch.no_grad():
        for weight in generator.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return generator.requires_grad_(False)
