"""Exchange of tensors among the processes of one stream, by torch.distributed: NCCL on GPUs, gloo on CPUs.

One operation carries everything (`exchange`, an all-to-all of bytes), so that any dtype and any uneven split goes over
either backend. Sums are gathered and added up in the order of ranks: every process gets the same bits, and so takes
the same decisions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ..model import HeadShare
from .shares import shares_of, size_of


class GroupLost(RuntimeError):
    """Another process of the stream has ended or is silent."""


class Group:
    """The processes of one stream, this one among them.

    rank, size  this process's number, from 0, and how many there are.
    device      where tensors are exchanged.

    Every process must call the same methods in the same order. All raise `GroupLost` where another has ended, or is
    silent for as long as the process group waits.
    """

    def __init__(self, process_group: dist.ProcessGroup, device: torch.device):
        self._group = process_group
        self.device = device
        self.rank = dist.get_rank(process_group)
        self.size = dist.get_world_size(process_group)

    def exchange(self, parts: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Send `parts[r]` to each process r, and receive a tensor of `shapes[r]` from each.

        All of one dtype, on the group's device; shapes may differ and be empty.
        """
        dtype = parts[0].dtype
        send = _bytes_of(parts)
        sizes = [torch.Size(shape).numel() * dtype.itemsize for shape in shapes]
        received = torch.empty(sum(sizes), dtype=torch.uint8, device=send.device)
        sent = [part.numel() * dtype.itemsize for part in parts]
        try:
            dist.all_to_all_single(received, send, sizes, sent, group=self._group)
        except RuntimeError as error:
            raise GroupLost(f"process {self.rank + 1} of {self.size} lost another process of its stream.") from error
        return [
            piece.view(dtype).view(tuple(shape)) for piece, shape in zip(received.split(sizes), shapes, strict=True)
        ]

    def gather(self, x: Tensor, shares: Sequence[slice], dim: int) -> Tensor:
        """Join x [..., own share, ...] of all processes along `dim`, in the order of ranks; shares: of each process."""
        shapes = [_with_size(x.shape, dim, size_of(share)) for share in shares]
        return torch.cat(self.exchange([x] * self.size, shapes), dim=dim)

    def sum(self, x: Tensor) -> Tensor:
        """Add x [...] of all processes, in the order of ranks -> as x."""
        return torch.stack(self.exchange([x] * self.size, [x.shape] * self.size)).sum(dim=0)


class SharedHeads(HeadShare):
    """Heads of a model shared out over a group. Implements `HeadShare`."""

    def __init__(self, group: Group, total: int):
        self._group = group
        self.total = total
        self.alone = group.size == 1
        self.shares = shares_of(total, group.size)
        self.own = self.shares[group.rank]

    def sum(self, x: Tensor) -> Tensor:
        return self._group.sum(x)

    def mean(self, x: Tensor) -> Tensor:
        # a mean over no heads is NaN
        return self._group.sum(x * (self.count / self.total) if self.count else torch.zeros_like(x))

    def gather(self, parts: Sequence[Tensor], dim: int) -> list[Tensor]:
        dim %= parts[0].ndim
        # pins and an archive wait on the CPU, where a group of GPUs exchanges nothing
        stacked = torch.stack(list(parts)).to(self._group.device)
        return list(self._group.gather(stacked, self.shares, dim + 1).unbind())


def _bytes_of(parts: Sequence[Tensor]) -> Tensor:
    """Copy tensors of one dtype into one row of bytes, uint8 [n]."""
    row = torch.empty(sum(part.numel() for part in parts), dtype=parts[0].dtype, device=parts[0].device)
    for part, room in zip(parts, row.split([part.numel() for part in parts]), strict=True):
        room.view(part.shape).copy_(part)
    return row.view(torch.uint8)


def _with_size(shape: Sequence[int], dim: int, size: int) -> tuple[int, ...]:
    dim %= len(shape)
    return (*shape[:dim], size, *shape[dim + 1 :])
