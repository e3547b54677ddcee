"""The prediction's bytes are those that a process sends."""

from __future__ import annotations

import pytest
import torch

from benchmarks.parallel import CountingGroup, predict, table, traffic_of
from benchmarks.sizes import SIZES, Size
from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import WanModel
from memflow_core.parallel import ParallelBackbone
from memflow_core.stream import Stream

MODEL = ModelConfig(dim=48, num_heads=4, num_layers=3, ffn_dim=64, text_dim=8, freq_dim=16)


@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("shape", [LatentShape(4, 6), LatentShape(2, 10, 2)])
def test_a_process_sends_as_many_bytes_as_are_counted(processes, shape):
    size, sampling = Size(MODEL, shape, 6, 30, 1), SamplingConfig(steps=(1000, 500))
    sent, exchanges = [], set()
    for rank in range(processes):
        group = CountingGroup(rank, processes)
        backbone = ParallelBackbone(WanModel(MODEL).requires_grad_(False), group=group)
        stream = Stream(backbone, shape, memory=MemoryConfig(retrieval="none"), sampling=sampling)
        stream.set_prompt(torch.randn(1, 6, 8))
        next(stream)
        sent.append(group.bytes)
        exchanges.add(group.exchanges)
    counted = traffic_of(size, processes, dtype_bytes=4, sampling=sampling)
    assert max(sent) == counted.bytes
    assert exchanges == {counted.exchanges}


def test_one_gpu_sends_nothing_and_more_send_less_each():
    size = SIZES["1.3b"]
    bytes_sent = [traffic_of(size, processes).bytes for processes in (1, 2, 3, 4, 6)]
    assert bytes_sent[0] == 0 and bytes_sent[1:] == sorted(bytes_sent[1:], reverse=True)


def test_a_prediction_has_a_row_for_each_link_and_slower_links_are_slower():
    size = SIZES["1.3b"]
    assert predict(size, 2, "PCIe 5").seconds > predict(size, 2, "NVLink").seconds
    assert len(table(size, [1, 2, 4]).splitlines()) == 2 + 1 + 2 * 2
