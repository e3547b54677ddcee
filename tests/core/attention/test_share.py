"""The meter of attention shares against attention written out, and where there is nothing to measure."""

import pytest
import torch

from memflow_core.attention import BANK, SINK, UNREAD, WINDOW, AttentionShareMeter

KINDS = torch.tensor([BANK, BANK, SINK, WINDOW, WINDOW])


def shares(q, keys, kinds):
    """Mean mass by kind over all queries, frame by frame in float64."""
    logits = q.double() @ keys.double().mT / q.shape[-1] ** 0.5
    by_frame = logits.unflatten(-1, (kinds.shape[-1], -1))
    of_heads = kinds.expand(*q.shape[:2], -1)
    by_frame = by_frame.masked_fill((of_heads == UNREAD)[:, :, None, :, None], -torch.inf)
    mass = by_frame.flatten(-2).softmax(-1).view_as(by_frame).sum(-1).mean(2)
    return torch.stack([mass[of_heads == kind].sum() for kind in range(3)]) / (q.shape[0] * q.shape[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sparse", [False, True])
def test_shares_are_those_of_attention(dtype, sparse):
    draw = torch.Generator().manual_seed(4)
    q, keys = (2 * torch.randn(2, 3, rows, 16, generator=draw) for rows in (18, 5 * 6))
    kinds = KINDS
    if sparse:
        kinds = KINDS.expand(2, 3, -1).clone()
        kinds[0, :, 1] = kinds[1, 1:, 0] = UNREAD
    meter = AttentionShareMeter(queries=10_000)
    meter(0, q.to(dtype), keys.to(dtype), kinds)
    measured, near = meter.take()[0].double(), 1e-6 if dtype == torch.float32 else 5e-3
    assert torch.allclose(measured, shares(q.to(dtype), keys.to(dtype), kinds), atol=near)


def test_a_process_without_heads_measures_nothing_of_its_own():
    """Of several that share a stream one may have none."""
    meter = AttentionShareMeter()
    meter(0, torch.randn(1, 0, 18, 16), torch.randn(1, 0, 30, 16), KINDS)
    assert meter.take().shape == (2, 3)
