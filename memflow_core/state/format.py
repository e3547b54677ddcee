"""Names and versions of the file format of stream states.

Keys of the file never change, so some have other names than the code:

    file             code
    at               SlotLayout
    offers, offer.N  candidates of a memory, their keys and values
    kept, kept.N     named pins, their keys and values
    ledger           KVProvenance; its `standing` is `KVWrite.in_cache`, its `unwritten` is `FrameSpan.query_only`
    text_known       False only where `ReferenceMemory` has not seen the prompt's text keys yet
    next             PromptChange
"""

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
DIGEST = "digest"  # of the header; beside the JSON, since earlier code carries what it does not know there along
MOST_HEADER_BYTES = 8_000_000  # of 64 bank frames that differ in every layer, and then some
MOST_TENSORS = 20_000
DECODER = "decoder."  # prefix of the tensors of a video decoder, which nodes add and check


def trace_tensor(records: list[dict[str, Any]]) -> Tensor:
    """Trace records as JSON bytes, [n] uint8."""
    text = json.dumps(records, separators=(",", ":")).encode()
    return torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
