from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def golden() -> Path:
    """The folder of recordings of the published program: checkpoint files, and what it made with them."""
    return Path(__file__).resolve().parents[2] / "golden"
