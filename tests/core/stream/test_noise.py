"""Noise that is drawn while the device computes is the noise that would be drawn later."""

from __future__ import annotations

import pytest
import torch

from memflow_core.stream import noise as module
from memflow_core.stream.noise import NoiseAhead, SeededNoise

SHAPE = (1, 2, 3, 4, 6)
DEVICE = torch.device("meta")  # stands for a GPU: it is no CPU


@pytest.fixture
def ahead(monkeypatch):
    """Draws that are prepared as for a GPU, but stay where their numbers can be looked at; and how many were made."""
    made = []

    def draws_on(device, draw, shape, count):
        made.append(count)
        return [draw(shape) for _ in range(count)]

    monkeypatch.setattr(module, "draws_on", draws_on)
    return NoiseAhead(DEVICE, SHAPE), made


def expected(seed: int, chunk: int, count: int) -> torch.Tensor:
    draw = SeededNoise(seed).chunk(chunk)
    return torch.stack([draw(SHAPE) for _ in range(count)])


def test_what_is_prepared_is_taken_once_and_is_the_same(ahead):
    drawn, made = ahead
    noise = SeededNoise(7)
    for chunk in (1, 2, 2):
        drawn.prepare(noise, chunk, 4)
        assert torch.equal(torch.stack(drawn.take(noise, chunk, 4)), expected(7, chunk, 4))
    assert made == [4, 4, 4]
    assert torch.equal(torch.stack(drawn.take(noise, 2, 4)), expected(7, 2, 4)) and len(made) == 4


def test_another_seed_chunk_or_count_is_drawn_anew(ahead):
    drawn, _ = ahead
    noise = SeededNoise(7)
    for other, chunk, count in ((SeededNoise(8), 1, 4), (noise, 2, 4), (noise, 1, 3)):
        drawn.prepare(noise, 1, 4)
        assert torch.equal(torch.stack(drawn.take(other, chunk, count)), expected(other.seed, chunk, count))


def test_nothing_is_drawn_ahead_on_a_cpu_or_of_other_sources(ahead, monkeypatch):
    drawn, made = ahead
    drawn.prepare(object(), 1, 4)
    NoiseAhead(torch.device("cpu"), SHAPE).prepare(SeededNoise(7), 1, 4)
    assert made == []
