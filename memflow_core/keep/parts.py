"""Files of kept moments and parts: their names, and how a part is written and read.

`moment_D.safetensors` is a stream's state, as `StreamState` saves it. `latents_D_F.safetensors` has the latents of the
chunks from F up to the moment D, `film_D_F_E.safetensors` their compressed pictures in the encoding E. D is the digest
of the beginning that ends there. Labels (labels.py) say what people know a part by.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..disk import Draft, check_header, write_safetensors
from ..video import FilmPart, PartPacket
from .labels import label_of

ENDING = ".safetensors"
FORMAT = "memflow-kept-part"
MOST_HEADER_BYTES = 8_000_000
_NAME = re.compile(
    r"(moment_[0-9a-f]{32}|latents_[0-9a-f]{32}_\d{1,9}|film_[0-9a-f]{32}_\d{1,9}_[0-9a-f]{16})\.safetensors"
)


@dataclass(frozen=True)
class MomentFile:
    """One file of the library. kind: moment, latents, film or label. used_s: when it was last of use, in seconds."""

    path: Path
    kind: str
    digest: str
    bytes: int
    used_s: float


def is_kept_name(name: str) -> bool:
    """Whether a file of this name may be one of a library's."""
    return _NAME.fullmatch(name) is not None or label_of(name) is not None


def moment_name(digest: str) -> str:
    return f"moment_{digest}{ENDING}"


def latents_name(digest: str, first: int) -> str:
    return f"latents_{digest}_{first}{ENDING}"


def film_name(digest: str, first: int, encoding: str) -> str:
    return f"film_{digest}_{first}_{encoding}{ENDING}"


def split_name(name: str) -> tuple[str, str]:
    """(kind, digest) of a file of such a name."""
    kind, digest, *_ = name.removesuffix(ENDING).split("_")
    return kind, digest


def write_latents(path: Path, latents: Tensor) -> None:
    """Write latents [B, C, F, h, w] float32 on the CPU. Raises OSError."""
    _write(path, {"latents": latents}, {})


def read_latents(path: Path) -> Tensor:
    """Read latents [B, C, F, h, w] float32. Raises ValueError in one sentence for a file that is no such part."""
    tensors, _ = _read(path)
    latents = tensors.get("latents")
    if latents is None or latents.ndim != 5 or latents.dtype != torch.float32:
        raise ValueError(f"{path.name} holds no latents.")
    return latents


def write_film(path: Path, part: FilmPart) -> None:
    """Write a film's part. Raises OSError."""
    content = b"".join(packet.content for packet in part.packets)
    meta = {
        "encoding": part.encoding,
        "extradata": part.extradata.hex(),
        "packets": [[len(packet.content), packet.time, packet.key] for packet in part.packets],
    }
    _write(path, {"packets": torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)}, meta)


def read_film(path: Path) -> FilmPart:
    """Read a film's part. Raises ValueError in one sentence for a file that is none."""
    tensors, meta = _read(path)
    try:
        content, place, packets = tensors["packets"].numpy().tobytes(), 0, []
        for size, time, key in meta["packets"]:
            packets.append(PartPacket(content[place : place + size], int(time), bool(key)))
            place += size
        part = FilmPart(str(meta["encoding"]), bytes.fromhex(meta["extradata"]), tuple(packets))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} holds no pictures.") from error
    if not packets or place != len(content):
        raise ValueError(f"{path.name} holds other pictures than it says.")
    return part


def _write(path: Path, tensors: Mapping[str, Tensor], meta: dict[str, Any]) -> None:
    text = json.dumps({**meta, "name": path.name})
    header = {"format": FORMAT, "meta": text, "checksum": str(_checksum(text, tensors))}
    with Draft(path) as draft:
        write_safetensors(draft.file, tensors, header)
        draft.finish(path, replace=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON of a part's file. Raises ValueError for one that is damaged or has another's name."""
    try:
        check_header(path, most_bytes=MOST_HEADER_BYTES, most_tensors=4)
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # copies: the file may be removed, and on Windows it could not be while it is mapped
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        text = header["meta"]
        meta = json.loads(text)
        whole = header["format"] == FORMAT and header["checksum"] == str(_checksum(text, tensors))
    except (SafetensorError, KeyError, OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged or gone.") from error
    if not whole or not isinstance(meta, dict) or meta.get("name") != path.name:
        raise ValueError(f"{path.name} is damaged, or another file under its name.")
    return tensors, meta


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    crc = zlib.crc32(text.encode())
    for name in sorted(tensors):
        flat = tensors[name].contiguous().flatten()
        crc = zlib.crc32(flat.view(torch.uint8).numpy().data if flat.numel() else b"", zlib.crc32(name.encode(), crc))
    return crc
