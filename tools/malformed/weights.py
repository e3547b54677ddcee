"""Malformed weight files: claims, archives, pickles and bytes that no training has written."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save

from memflow_core.model import WanModel

from .case import Case, flipped, strange, write
from .states import SMALL

BITS, CUTS, NAMES = 12, 4, 10
OLD_MARK, OLD_VERSION = 0x1950A86A20F9469CFC6C, 1001
OLD_SIZES = {"protocol_version": OLD_VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
TRILLION = 10**12


class _Claimed:
    """Pickles as a tensor over a storage of any length."""

    def __init__(self, key: str, length: int, *, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0):
        self.storage = _Storage(key, length)
        self.view = (offset, size, stride)

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (self.storage, *self.view, False, OrderedDict())


class _Storage:
    def __init__(self, key: str, length: int):
        self.described = ("storage", torch.FloatStorage, key, "cpu", length)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.described if isinstance(obj, _Storage) else None


class _Call:
    """Pickles as a call of something."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def weights(folder: Path, random: Random) -> Iterator[Case]:
    """Weight files in a folder; about 60."""
    whole = {name: tensor.detach() for name, tensor in WanModel(SMALL).state_dict().items()}
    archive, plain = _torch(whole), save(whole)
    yield from _write(folder, "pt", _archives(archive))
    yield from _write(folder, "pt", _pickles())
    yield from _write(folder, "pt", _old())
    yield from _write(folder, "safetensors", _headers(plain))
    yield from _write(folder, "pt", _contents(whole, random))
    yield from _write(folder, "bin", _others())
    for bit in random.sample(range(8 * len(archive)), BITS):
        yield Case(f"bit {bit} of an archive", write(folder / f"bit_{bit}.pt", flipped(archive, bit)))
    for length in random.sample(range(len(archive)), CUTS):
        yield Case(f"an archive cut after {length}", write(folder / f"cut_{length}.pt", archive[:length]))
        short = length * len(plain) // len(archive)
        yield Case(f"safetensors cut after {short}", write(folder / f"cut_{short}.safetensors", plain[:short]))


def _write(folder: Path, ending: str, made: Iterator[tuple[str, bytes]]) -> Iterator[Case]:
    for name, content in made:
        yield Case(name, write(folder / f"{name.replace(' ', '_')}.{ending}", content))


def _torch(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _pickled(content: Any, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol).dump(content)
    return buffer.getvalue()


def _zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def _of(content: Any, data: bytes = bytes(64)) -> bytes:
    """An archive of PyTorch's form, of a pickle and one storage."""
    return _zipped({"data.pkl": _pickled(content), "byteorder": b"little", "data/0": data, "version": b"3\n"})


def _archives(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        members = {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}
    yield "a compressed archive", _zipped(members, zipfile.ZIP_DEFLATED)
    bomb = _Claimed("0", 25_000_000, size=(25_000_000,), stride=(1,))
    parts = {"data.pkl": _pickled({"head.head.weight": bomb}), "data/0": bytes(100_000_000), "version": b"3\n"}
    yield "a zip bomb", _zipped(parts, zipfile.ZIP_DEFLATED)
    yield "an archive in an archive", _zipped({"data.pkl": archive, "version": b"3\n"})
    yield "an archive of another program", _zipped({"readme.txt": b"hello"})
    yield "no storages", _zipped({name: content for name, content in members.items() if not name.startswith("data/")})
    yield "an endless number of parts", _zipped({f"data/{n}": b"" for n in range(110_000)})
    grown = bytearray(archive)
    place = grown.rfind(b"PK\x05\x06")
    grown[place + 12 : place + 16] = (2**32 - 2).to_bytes(4, "little")
    yield "a list of four gigabytes", bytes(grown)


def _pickles() -> Iterator[tuple[str, bytes]]:
    yield "a trillion numbers", _of({"x": _Claimed("0", TRILLION, size=(TRILLION,), stride=(1,))})
    yield "a trillion rows of one", _of({"x": _Claimed("0", 16, size=(TRILLION, 16), stride=(0, 1))})
    yield "past its part", _of({"x": _Claimed("0", 16, size=(17,), stride=(1,))})
    yield "before its part", _of({"x": _Claimed("0", 16, size=(4,), stride=(1,), offset=-4)})
    yield "a stride below zero", _of({"x": _Claimed("0", 16, size=(4,), stride=(-1,), offset=8)})
    pair = {name: _Claimed("0", 16, size=(9,), stride=(1,), offset=offset) for name, offset in (("a", 0), ("b", 7))}
    yield "one over the other", _of(pair)
    yield "the same a thousand times", _of({f"x{n}": _Claimed("0", 16, size=(16,), stride=(1,)) for n in range(1000)})
    many = {f"t{n}": _Claimed("0", 16, size=(), stride=(), offset=n % 16) for n in range(60_000)}
    yield "sixty thousand tensors", _of(many)
    deep: Any = {}
    for _ in range(400):
        deep = {"x": deep}
    yield "nested dicts", _of(deep)
    yield "lists without end", _raw(b"\x80\x02" + b"]" * 3_000_000 + b".")
    yield "a place out of range", _raw(b"\x80\x02}r\xff\xff\xff\x7f.")
    yield "a text that is longer than the file", _raw(b"\x80\x02X\xff\xff\xff\x7fabc.")
    yield "a number of a megabyte", _raw(b"\x80\x02\x8b" + (10**6).to_bytes(4, "little") + b"\x01" * 10**6 + b".")
    yield "nothing on the stack", _raw(b"\x80\x02.")
    for name, call in {"eval": _Call(eval, "1 + 1"), "an open file": _Call(open, "stolen", "w")}.items():
        yield f"code that is {name}", _of({"x": call})


def _raw(content: bytes) -> bytes:
    return _zipped({"data.pkl": content, "data/0": bytes(64), "version": b"3\n"})


def _old() -> Iterator[tuple[str, bytes]]:
    """Files of the form from before PyTorch 1.6."""

    def file(content: Any, keys: Any, tail: bytes = b"") -> bytes:
        return b"".join(map(_pickled, (OLD_MARK, OLD_VERSION, OLD_SIZES, content, keys))) + tail

    yield "old with a trillion numbers", file({"x": _Claimed("0", TRILLION, size=(TRILLION,), stride=(1,))}, ["0"])
    yield "old and resized", file({"x": _Claimed("0", 4, size=(TRILLION,), stride=(1,))}, ["0"], bytes(24))
    yield "old without numbers", file({"x": _Claimed("0", 16, size=(16,), stride=(1,))}, ["0"])
    yield "old with other keys", file({"x": _Claimed("0", 1, size=(1,), stride=(1,))}, [[], {}], bytes(12))
    yield "old with code", file({"x": _Call(eval, "1 + 1")}, [])
    yield "a pickle alone", _pickled({"x": 1})


def _headers(plain: bytes) -> Iterator[tuple[str, bytes]]:
    def file(header: Any, data: bytes = b"") -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data

    def entry(**changes: Any) -> dict[str, Any]:
        return {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}

    yield "a shape of a trillion", file(entry(shape=[TRILLION]), bytes(16))
    yield "a shape that overflows", file(entry(shape=[2**40, 2**40]), bytes(16))
    yield "an empty shape of a trillion", file(entry(shape=[0, TRILLION], data_offsets=[0, 0]))
    yield "offsets past the end", file(entry(data_offsets=[0, TRILLION]), bytes(16))
    yield "offsets that run back", file(entry(data_offsets=[16, 0]), bytes(16))
    yield "an unknown dtype", file(entry(dtype="F7"), bytes(16))
    yield "no dtype", file({"x": {"shape": [4], "data_offsets": [0, 16]}}, bytes(16))
    yield "a list for a header", file([])
    yield "metadata of numbers", file({"__metadata__": {"a": 1}, **entry()}, bytes(16))
    yield "a header that is nested", file(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield "NUL in a name", file({"a\0b": entry()["x"]}, bytes(16))
    many = {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(150_000)}
    yield "many tensors in a header", file(many)
    yield "a header of many blanks", file(b"{}" + b" " * 20_000_000)
    yield "a header past the end", (2**40).to_bytes(8, "little") + plain[8:]


def _contents(whole: dict[str, torch.Tensor], random: Random) -> Iterator[tuple[str, bytes]]:
    for number in range(NAMES):
        changed: dict[Any, Any] = dict(whole)
        name = random.choice(sorted(changed))
        value = random.choice([strange(random), changed[name][None], changed[name].flatten(), changed[name].int()])
        changed[name] = value
        yield f"{number} another {name}", _torch(changed)
    yield "NaN in a weight", _torch({**whole, "head.head.bias": torch.full((64,), torch.nan)})
    yield "a list", _torch([torch.ones(1)])
    yield "a number", _torch(7)
    yield "names of numbers", _torch({1: torch.ones(1), (2, 3): torch.ones(1)})
    yield "sparse weights", _torch({**whole, "head.head.bias": torch.ones(64).to_sparse()})
    yield "strided by nothing", _torch({**whole, "head.head.bias": torch.ones(1).expand(64)})


def _others() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "a page", b"<!DOCTYPE html><html></html>"
    yield "a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield "GGUF", b"GGUF\x03\0\0\0" + (TRILLION).to_bytes(8, "little") * 2
    yield "JSON", b'{"weight_map": {}}'
    yield "zeros", bytes(1000)
