"""Write a safetensors file tensor by tensor, through an open file, so that its maker decides where and how it lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO

import torch
from torch import Tensor

# name of a dtype in a safetensors header
DTYPE_NAMES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8
_AT_ONCE = 2**24  # bytes of one write


def write_safetensors(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors on the CPU, dense and of a dtype in DTYPE_NAMES, and texts to an unbuffered binary file.

    Raises OSError, as on a full disk.
    """
    # wide numbers first, so that all are aligned
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    _write_all(file, len(text).to_bytes(8, "little") + text)
    for name in names:
        flat = tensors[name].detach().contiguous().flatten()
        if flat.numel():
            _write_all(file, flat.view(torch.uint8).numpy().data)


def _write_all(file: BinaryIO, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        written = file.write(rest[:_AT_ONCE])
        # None: an unbuffered file that would block, which a regular one never does
        rest = rest[written or 0 :]
