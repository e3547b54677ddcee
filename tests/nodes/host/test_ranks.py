"""ComfyUIs that share a stream: how one knows that it is among others. Two in step: `tests/render`."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def ranks(pack):
    return pack.nodes.host.ranks


def test_a_comfyui_is_alone_unless_it_was_started_with_others(ranks):
    assert ranks.rank_count() == 1 and ranks.group_of(torch.device("cpu")) is None


def test_devices_that_no_group_exchanges_between_are_refused(ranks, monkeypatch):
    monkeypatch.setenv("MEMFLOW_RANKS", "2")
    with pytest.raises(
        ValueError, match="2 ComfyUIs share a stream on CUDA or on the CPU alone, but the model is on mps"
    ):
        ranks.group_of(torch.device("mps"))
