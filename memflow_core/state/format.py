"""Names and versions of the file format of stream states."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

FORMAT = "memflow-stream-state"
VERSION = 2
READABLE = (1, 2)  # today's, and up to two before it
CHECKED_SINCE = 2  # files of before have no checksum
COMPACT, EXACT = "compact", "exact"
DECODER = "decoder."  # prefix of tensors of a video decoder that went along with the stream; its owner checks them


def trace_tensor(records: list[dict[str, Any]]) -> Tensor:
    """Trace records as JSON bytes, [n] uint8."""
    text = json.dumps(records, separators=(",", ":")).encode()
    return torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
