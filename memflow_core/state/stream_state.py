"""A stream's state as a value, and its file."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import LatentShape, MemoryConfig, SamplingConfig
from .compact import compacted
from .format import CHECKED_SINCE, COMPACT, FORMAT
from .validate import check_state, memory_of, sampling_of
from .versions import refusal, to_current


@dataclass(frozen=True)
class StreamState:
    """State of a stream between two chunks.

    tensors  on the CPU.
    meta     JSON.

    Treat both as read-only: other streams may start from them.
    """

    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    @property
    def chunks(self) -> int:
        """Chunks made so far."""
        return self.meta["chunk"]

    @property
    def shape(self) -> LatentShape:
        return LatentShape(**self.meta["shape"])

    @property
    def memory(self) -> MemoryConfig:
        return memory_of(self.meta)

    @property
    def sampling(self) -> SamplingConfig:
        return sampling_of(self.meta)

    @property
    def pins(self) -> list[tuple[int, str | None]]:
        """Latent frames that are pinned and their names, by frame."""
        for_good = [(frame, None) for frame in self.meta.get("pins", [])]
        named = [(frame, name) for name, frame in self.meta.get("named", [])]
        return sorted([*for_good, *named], key=lambda pin: (pin[0], pin[1] or ""))

    @property
    def trace(self) -> list[dict[str, Any]]:
        return json.loads(bytes(self.tensors["trace"].numpy()))

    @property
    def content(self) -> str:
        """`exact` or `compact`."""
        return self.meta["content"]

    @property
    def pinned_places(self) -> int:
        """Most places in the bank that pins take, under this prompt and under one that waits."""
        meta, frames = self.meta, dict(self.meta.get("named", ()))
        asked = (meta.get("recalled", ()), meta.get("next", {}).get("recall", ()))
        return max(len({*meta.get("pins", ()), *(frames[name] for name in names)}) for names in asked)

    @property
    def rebuilds(self) -> int:
        """Passes through the model that it takes to go on from here."""
        if self.content != COMPACT:
            return 0
        kept = {entry[0] for entry in self.meta.get("kept", ()) if entry}
        held = kept | set(self.tensors["frames"].unique().tolist())
        writes = self.meta["ledger"]["writes"]
        # what is archived alone is read when it is recalled
        return sum(write["kind"] != "alone" or write["start"] in held for write in writes)

    def compact(self) -> StreamState:
        """The same without keys and values; itself if it is compact already.

        Raises ValueError where it holds keys and values that cannot be made again.
        """
        return self if self.content == COMPACT else StreamState(*compacted(self.tensors, self.meta))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        meta = {**self.meta, "checksum": checksum(tensors)}
        save_file(tensors, path, metadata={"format": FORMAT, "meta": json.dumps(meta)})

    @staticmethod
    def load(path: str | Path) -> StreamState:
        """Read a file that `save` wrote, in this version or a readable earlier one.

        Raises FileNotFoundError or ValueError in one sentence.
        """
        name, meta = Path(path).name, read_meta(path)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ValueError(f"{name} is damaged: {error}.") from error
        if meta["version"] >= CHECKED_SINCE and meta.pop("checksum", None) != checksum(tensors):
            raise ValueError(f"{name} is damaged: its checksum does not fit its contents.")
        try:
            tensors, meta = to_current(tensors, meta)
            check_state(tensors, meta)
        except ValueError as error:
            raise ValueError(f"{name} cannot be continued: {str(error).rstrip('.')}.") from error
        return StreamState(tensors, meta)


def read_meta(path: str | Path) -> dict[str, Any]:
    """What a state's file says of itself, in its own version, read without its tensors.

    Raises FileNotFoundError, or ValueError in one sentence for a file that is no state of a readable version.
    """
    name = Path(path).name
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no stream state at {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        meta = json.loads(header["meta"]) if header.get("format") == FORMAT else None
    except (SafetensorError, KeyError, OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged or not a safetensors file: {error}.") from error
    if not isinstance(meta, dict):
        raise ValueError(f"{name} is not a stream state: use a file that was saved from a stream.")
    if (problem := refusal(meta.get("version"))) is not None:
        raise ValueError(f"{name} {problem}.")
    return meta


def checksum(tensors: dict[str, Tensor]) -> int:
    """CRC-32 over all numbers, in the order of their names. It finds accidents, not intent."""
    crc = 0
    for name in sorted(tensors):
        flat = tensors[name].contiguous().flatten()
        crc = zlib.crc32(flat.view(torch.uint8).numpy().data if flat.numel() else b"", zlib.crc32(name.encode(), crc))
    return crc
