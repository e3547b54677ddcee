"""Join the other processes of a stream, on this machine: NCCL between GPUs, gloo between CPUs."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from .group import Group, GroupLost

LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def join_group(rank: int, size: int, device: torch.device, *, meeting: Path, timeout_s: float) -> Group:
    """Join the processes of a stream; each of them calls this. One that has joined gets the same group again.

    rank       this process's number, from 0; size: how many there are.
    device     where tensors are exchanged.
    meeting    a file that is not there yet, by which the processes find one another.
    timeout_s  a process that is waited for so long is lost.

    Raises GroupLost where the others do not come.
    """
    if not dist.is_initialized():
        _join(rank, size, device, meeting, timeout_s)
    world = dist.group.WORLD
    assert world is not None, "made above"
    return Group(world, device)


def _join(rank: int, size: int, device: torch.device, meeting: Path, timeout_s: float) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif sys.platform in LOOPBACK:
        # all are on this machine, whose own name may lead nowhere
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK[sys.platform])
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=meeting.absolute().as_uri(),
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout_s),
        )
    except RuntimeError as error:
        raise GroupLost(f"process {rank + 1} of {size} did not find the others.") from error
