"""Rotary positions (RoPE) of Wan 2.1 in three dimensions: latent frame, row, column.

Wan splits the c = head_dim / 2 interleaved pairs of a head: the first c - 2 * (c // 3) turn with the latent frame, the
next c // 3 with the row, the last c // 3 with the column. Pair j of an axis's n turns by position * THETA^(-j / n).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .functional import widest

THETA = 10000.0


def _axis_frequencies(pairs: int, device: torch.device) -> Tensor:
    """THETA^(-j / pairs) for j = 0 ... pairs - 1, in float64, or in `widest`'s dtype."""
    exponent = torch.arange(pairs, dtype=widest(device), device=device) / max(pairs, 1)
    return THETA**-exponent


@dataclass(frozen=True)
class Rotation:
    """The rotation of some latent frames: table float32 [..., frames, tokens, head_dim / 2, 2], cosine beside sine."""

    table: Tensor

    @cached_property
    def _turns(self) -> Tensor:
        """The table as complex numbers [..., frames, tokens, head_dim / 2]."""
        return torch.view_as_complex(self.table)

    def over_rows(self) -> Rotation:
        """The same for queries or keys [..., frames * tokens, head_dim]."""
        return Rotation(self.table.flatten(-4, -3))

    def apply(self, x: Tensor) -> Tensor:
        """Rotate queries or keys x [..., frames, tokens, head_dim] in float32 -> as x, of its dtype."""
        wide = x.float()
        # what was widened is a copy
        return (self._rotated(wide) if wide is x else self.turn_(wide)).to(x.dtype)

    def turn_(self, x: Tensor) -> Tensor:
        """`apply` that leaves its result in float32 and may overwrite x, as it does where x is float32."""
        wide = x.float()
        if torch.is_grad_enabled() or not _multiplies_complex(x):
            return self._rotated(wide)
        wide.view(torch.complex64).mul_(self._turns)
        return wide

    def _rotated(self, x: Tensor) -> Tensor:
        """x float32 -> a new tensor."""
        pairs = x.unflatten(-1, (-1, 2))
        if _multiplies_complex(x):
            return torch.view_as_real(torch.view_as_complex(pairs) * self._turns).flatten(-2)
        (even, odd), (cos, sin) = pairs.unbind(-1), self.table.unbind(-1)
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def _multiplies_complex(x: Tensor) -> bool:
    """Whether pairs are best multiplied as complex numbers: of real ones a compiler makes one kernel."""
    return not (torch.compiler.is_compiling() or x.device.type == "mps")


class Rope:
    """Rotations for one token grid of rows x columns.

    Angles are computed in float64: in bfloat16 latent frame indices above 256 would not even be distinct numbers.
    """

    def __init__(self, head_dim: int, rows: int, columns: int, device: torch.device | str = "cpu"):
        device = torch.device(device)
        pairs = head_dim // 2
        spatial = pairs // 3
        self._time = _axis_frequencies(pairs - 2 * spatial, device)
        axis = _axis_frequencies(spatial, device)
        row = torch.arange(rows, dtype=axis.dtype, device=device)[:, None] * axis
        column = torch.arange(columns, dtype=axis.dtype, device=device)[:, None] * axis
        grid = torch.cat((row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)), dim=-1)
        self._space = grid.flatten(0, 1)  # [tokens, 2 * spatial]

    def at(self, frames: Tensor) -> Rotation:
        """The rotation of latent frames at integer positions frames [..., n]: a table [..., n, tokens, pairs, 2]."""
        time = frames.to(self._time.dtype)[..., None] * self._time
        time = time[..., None, :].expand(*frames.shape, self._space.shape[0], -1)
        angle = torch.cat((time, self._space.expand(*frames.shape, -1, -1)), dim=-1)
        return Rotation(torch.stack((angle.cos(), angle.sin()), dim=-1).float())
