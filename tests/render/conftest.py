"""Fixtures: what a real ComfyUI says of its nodes."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def all_infos(comfy) -> dict:
    """`/object_info` of a running ComfyUI with this pack."""
    return comfy.get("/object_info")
