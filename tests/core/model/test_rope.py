"""RoPE against a complex rotation written out pair by pair."""

import cmath

import pytest
import torch

from memflow_core.model import THETA, Rope


def rotate_pair_by_pair(x: list[float], frame: int, row: int, column: int) -> list[float]:
    """One token of one head, x [head_dim]."""
    pairs = len(x) // 2
    third = pairs // 3
    parts = [(frame, pairs - 2 * third), (row, third), (column, third)]
    angles = [position * THETA ** (-j / count) for position, count in parts for j in range(count)]
    out = []
    for j, angle in enumerate(angles):
        pair = complex(x[2 * j], x[2 * j + 1]) * cmath.exp(1j * angle)
        out += [pair.real, pair.imag]
    return out


@pytest.mark.parametrize("head_dim", [16, 24, 64, 128])
def test_every_token_is_rotated_by_frame_row_and_column(head_dim):
    rows, columns, frames = 2, 3, torch.tensor([0, 7, 1023])
    x = torch.randn(3, rows * columns, head_dim)
    rotated = Rope(head_dim, rows, columns).at(frames).apply(x)
    for f, frame in enumerate(frames.tolist()):
        for token in range(rows * columns):
            expected = rotate_pair_by_pair(x[f, token].tolist(), frame, token // columns, token % columns)
            assert torch.allclose(rotated[f, token], torch.tensor(expected), atol=2e-6)


def test_late_frames_stay_distinct_in_bfloat16():
    """In bfloat16 the indices 603 and 604 are the same number; the rotation must not be."""
    rope, x = Rope(128, 1, 1), torch.ones(2, 1, 128, dtype=torch.bfloat16)
    rotated = rope.at(torch.tensor([603, 604])).apply(x)
    assert rotated.dtype == torch.bfloat16
    assert not torch.equal(rotated[0], rotated[1])


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotating_in_place_gives_the_same(dtype):
    rotation = Rope(16, 2, 3).at(torch.arange(3))
    x = torch.randn(1, 2, 3, 6, 16).to(dtype)
    turned = rotation.turn_(x.clone())
    assert turned.dtype == torch.float32
    assert torch.allclose(turned.to(dtype).float(), rotation.apply(x).float(), atol=1e-6)
    by_row = rotation.over_rows().turn_(x.clone().flatten(2, 3))
    assert torch.equal(by_row, turned.flatten(2, 3))
