"""A stream's state as a value, and its file."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..config import LatentShape, MemoryConfig, SamplingConfig
from ..disk import Draft, check_header, write_safetensors
from .compact import compacted
from .format import CHECKED_SINCE, COMPACT, DIGEST, FORMAT, MOST_HEADER_BYTES, MOST_TENSORS
from .pictures import header_of, pictures_in
from .read_json import parse_json
from .settings import memory_of, sampling_of
from .validate import check_state
from .versions import refusal, to_current

MOST_SAID = 300  # characters of another program's message within one of ours


@dataclass(frozen=True)
class StreamState:
    """State of a stream between two chunks.

    tensors   on the CPU.
    meta      JSON.
    pictures  data URLs of small pictures of what is remembered, for whoever shows it: see `pictures.py`.

    Treat all as read-only: other streams may start from them.
    """

    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    pictures: Mapping[int, str] = field(default_factory=dict)

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
    def weights(self) -> set[str]:
        """Names of the weights, beside the model's own, that what it holds was made with or goes on with."""
        entries = (self.meta, self.meta.get("next", {}), *self.meta["ledger"]["writes"])
        return {entry["weights"] for entry in entries if entry.get("weights")}

    @property
    def rebuilds(self) -> int:
        """Passes through the model that it takes to go on from here."""
        if self.content != COMPACT:
            return 0
        kept = {entry[0] for entry in self.meta.get("kept", ()) if entry}
        waiting = {entry[0] for entry in self.meta["offers"] if entry and entry[2]}
        held = kept | waiting | set(self.tensors["frames"].unique().tolist())
        writes = self.meta["ledger"]["writes"]
        # what is archived alone is read when it is recalled
        copied = {number for frame, number in self.meta["ledger"]["sources"] if frame in held}
        return sum(bool(write["standing"]) or number in copied for number, write in enumerate(writes))

    def without_unmade_pins(self) -> StreamState:
        """The same without named pins of frames that are still to be made, which a schedule sets again."""
        named, kept = self.meta.get("named", []), self.meta.get("kept", [])
        made = [number for number, entry in enumerate(kept) if entry is not None]
        if len(made) == len(kept):
            return self
        places = {f"kept.{old}.": f"kept.{new}." for new, old in enumerate(made)}
        tensors = {}
        for name, tensor in self.tensors.items():
            old = next((place for place in places if name.startswith(place)), None)
            tensors[name if old is None else places[old] + name.removeprefix(old)] = tensor
        pins = {"named": [named[number] for number in made], "kept": [kept[number] for number in made]}
        return StreamState(tensors, {**self.meta, **pins}, self.pictures)

    def compact(self) -> StreamState:
        """The same without keys and values; itself if it is compact already.

        Raises ValueError where it holds keys and values that cannot be made again.
        """
        return self if self.content == COMPACT else StreamState(*compacted(self.tensors, self.meta), self.pictures)

    def save(self, path: str | Path, *, replace: bool = True) -> None:
        """Write a safetensors file: all of it, on the disk, under its name, or nothing.

        replace  whether a file of that name is replaced.

        Raises FileExistsError rather than replace one, and OSError in one sentence, as on a full disk.
        """
        path = Path(path)
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        meta = json.dumps({**self.meta, "checksum": checksum(tensors)})
        header = {"format": FORMAT, "meta": meta, DIGEST: digest(meta, tensors), **header_of(self.pictures)}
        try:
            with Draft(path) as draft:
                write_safetensors(draft.file, tensors, header)
                draft.finish(path, replace=replace)
        except FileExistsError as error:
            raise FileExistsError(f"{path.name} has appeared in the meantime: save again.") from error
        except OSError as error:
            failure = OSError(f"{path.name} could not be saved: {error.strerror or error}; nothing was written.")
            failure.errno = error.errno
            raise failure from error

    @staticmethod
    def load(path: str | Path) -> StreamState:
        """Read a file that `save` wrote, in this version or a readable earlier one.

        Raises FileNotFoundError or ValueError in one sentence.
        """
        name, meta = Path(path).name, read_meta(path)
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ValueError(f"{name} is damaged: {_one_line(error)}.") from error
        if DIGEST in header and header[DIGEST] != digest(header["meta"], tensors):
            raise ValueError(f"{name} is damaged: what it says of itself does not fit its checksum.")
        if meta["version"] >= CHECKED_SINCE and meta.pop("checksum", None) != checksum(tensors):
            raise ValueError(f"{name} is damaged: its checksum does not fit its contents.")
        try:
            tensors, meta = to_current(tensors, meta)
            check_state(tensors, meta)
            pictures = pictures_in(header)
        except ValueError as error:
            raise ValueError(f"{name} cannot be continued: {_one_line(error)}.") from error
        return StreamState(tensors, meta, pictures)


def read_meta(path: str | Path) -> dict[str, Any]:
    """What a state's file says of itself, in its own version, read without its tensors.

    Raises FileNotFoundError, or ValueError in one sentence for a file that is no state of a readable version.
    """
    path = Path(path)
    name = path.name
    if not path.is_file():
        raise FileNotFoundError(f"there is no stream state at {path}.")
    try:
        check_header(path, most_bytes=MOST_HEADER_BYTES, most_tensors=MOST_TENSORS)
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        meta = parse_json(header["meta"]) if header.get("format") == FORMAT else None
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise ValueError(f"{name} is damaged or not a safetensors file: {_one_line(error)}.") from error
    if not isinstance(meta, dict):
        raise ValueError(f"{name} is not a stream state: use a file that was saved from a stream.")
    if (problem := refusal(meta.get("version"))) is not None:
        raise ValueError(f"{name} {problem}.")
    return meta


def _one_line(error: Exception) -> str:
    """What an exception says, on one line of bounded length, without a full stop."""
    text = " ".join(str(error).split())
    return (text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}...").rstrip(".")


def digest(meta: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the header of a file: its JSON as written, and names, dtypes and shapes of its tensors."""
    layout = [[name, str(tensor.dtype), list(tensor.shape)] for name, tensor in sorted(tensors.items())]
    return hashlib.sha256(f"{meta}\n{json.dumps(layout)}".encode()).hexdigest()


def checksum(tensors: dict[str, Tensor]) -> int:
    """CRC-32 over all numbers, in the order of their names. It finds accidents, not intent."""
    crc = 0
    for name in sorted(tensors):
        flat = tensors[name].contiguous().flatten()
        crc = zlib.crc32(flat.view(torch.uint8).numpy().data if flat.numel() else b"", zlib.crc32(name.encode(), crc))
    return crc
