"""Share each pass through a model with other ComfyUIs that run the same graph in step: one stream on several GPUs.

`python -m memflow_core.render --gpus-per-story P` starts P of them, and tells each by its environment which it is.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ...memflow_core.parallel import Group, join_group
from ...memflow_core.render import RankVariables

LOST_S = 600.0  # more than loading a model takes, which one may do while the others wait


def rank_count() -> int:
    """How many ComfyUIs share each stream; 1 unless this one was started so."""
    return int(os.environ.get(RankVariables.COUNT, "1"))


def group_of(device: torch.device) -> Group | None:
    """The processes that share a stream on a device, joined at the first call; None where this one is alone.

    Raises ValueError for a device that no group exchanges between, GroupLost where the others do not come.
    """
    if rank_count() == 1:
        return None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"{rank_count()} ComfyUIs share a stream on CUDA or on the CPU alone, but the model is on {device}."
        )
    rank, meeting = int(os.environ[RankVariables.RANK]), Path(os.environ[RankVariables.MEETING])
    return join_group(rank, rank_count(), device, meeting=meeting, timeout_s=LOST_S)
