"""Three characters who return again and again come back from an archive, read by the layers that look at the bank."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.recall import LayerMeter, Models, measure_returns, policies, summary_of_returns, tales
from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_LATENTS

pytestmark = pytest.mark.slow

STORIES, SEED = 4, 31  # 36 returns
POLICY = policies(CHUNK_LATENTS)["archive+words"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def models() -> Models:
    return Models.read(ASSETS)


@pytest.fixture(scope="module")
def read(models) -> tuple[list[dict], LayerMeter]:
    """Records of the returns, and attention on the bank."""
    meter = LayerMeter()
    return measure_returns(models, POLICY, tales("trio", STORIES, SEED), SEED, meter=meter), meter


def test_they_return_as_themselves(read):
    found = summary_of_returns(read[0])
    assert found["returns"] == 36
    assert found["whole"] >= 0.85 and found["bank"] >= 0.95


def test_attention_on_the_bank_is_told_by_layer(models, read):
    shares = read[1].shares
    # looks of the first three shots are given, so no layer looks at anything there
    assert [share.shape for share in shares] == [(0,)] * 3 + [(len(models.tree.blocks), STORIES)] * 9
    of_returns = torch.stack(shares[3:])
    assert ((of_returns > 0) & (of_returns < 1)).all()
    by_layer = of_returns.mean(dim=(0, 2))
    assert by_layer.max() > 4 * by_layer.min()


def test_the_layers_that_look_at_it_most_are_enough_and_the_others_are_not(models, read):
    by_layer = torch.stack(read[1].shares[3:]).mean(dim=(0, 2))
    ranked = by_layer.argsort(descending=True).tolist()
    drawn = tales("trio", STORIES, SEED)

    def whole(layers: list[int]) -> float:
        fewer = replace(POLICY, memory=replace(POLICY.memory, bank_layers=tuple(sorted(layers))))
        return summary_of_returns(measure_returns(models, fewer, drawn, SEED))["whole"]

    half = len(ranked) // 2
    assert whole(ranked[:half]) >= 0.85
    assert whole(ranked[half:]) <= 0.5
