"""What a PyTorch pickle claims, before anything of that size is made: numbers, storages, and the tensors over them.

The pickle is walked twice. First its opcodes are counted, none is run. Then it is unpickled with stand-ins for
everything that it names: no code of the file runs, and a tensor is a record of its claims. What names code that weights
do not need is refused later, by PyTorch's own restricted reader.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

MOST_OPERATIONS = 600_000  # a tensor takes about 32
MOST_PICKLE_BYTES = 16_000_000
MOST_TENSORS = 15_000
MOST_INTEGER_BYTES = 16
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_INTEGERS = {"LONG1", "LONG4", "LONG", "INT"}

_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8,
    "UntypedStorage": 1,
    "Float8_e4m3fnStorage": 1,
    "Float8_e5m2Storage": 1,
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QInt32Storage": 4,
}


class ClaimError(ValueError):
    """What a pickle claims that cannot be, as the end of a sentence that starts with the file's name."""


@dataclass
class Storage:
    """Numbers in the file. key: its name there; length: how many numbers of so many bytes."""

    key: str
    length: int
    number_bytes: int

    @property
    def nbytes(self) -> int:
        return self.length * self.number_bytes


@dataclass
class View:
    """A tensor over a storage: its first number, sizes and strides, counted in numbers."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.size)

    @property
    def end(self) -> int:
        """One past the last number it reads."""
        if not self.numbers:
            return self.offset
        return self.offset + 1 + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))


@dataclass
class Claims:
    """Storages by their names in the file, all tensors over them, and the content with stand-ins for what it names."""

    content: Any = None
    storages: dict[str, Storage] = field(default_factory=dict)
    views: list[View] = field(default_factory=list)


def read_claims(file: IO[bytes]) -> Claims:
    """Claims of the pickle that starts here; afterwards the file stands behind it.

    Raises ClaimError for one that cannot be honest, and whatever a damaged pickle makes Python's reader raise.
    """
    start = file.tell()
    _count_operations(file, start)
    file.seek(start)
    reader = _Reader(file)
    reader.claims.content = reader.load()
    _check_views(reader.claims)
    return reader.claims


def _count_operations(file: IO[bytes], start: int) -> None:
    """Raise ClaimError for a pickle that takes more time or memory than that of any weight file."""
    for number, (operation, argument, place) in enumerate(pickletools.genops(file)):
        if number > MOST_OPERATIONS or (place or 0) - start > MOST_PICKLE_BYTES:
            raise ClaimError(f"lists more than any weight file does ({MOST_OPERATIONS} steps): it was refused.")
        if argument is None:
            continue
        if operation.name in _PUTS and not 0 <= int(argument) <= MOST_OPERATIONS:
            raise ClaimError("is no weight file: its list has a place that is out of range.")
        if operation.name in _INTEGERS and int(argument).bit_length() > 8 * MOST_INTEGER_BYTES:
            raise ClaimError("is no weight file: it holds a number of more than 128 bits.")


def _check_views(claims: Claims) -> None:
    if len(claims.views) > MOST_TENSORS:
        raise ClaimError(f"holds {len(claims.views)} tensors, but no weight file has more than {MOST_TENSORS}.")
    for view in claims.views:
        if view.end > view.storage.length:
            raise ClaimError(
                f"does not fit together: a tensor of {str(list(view.size))[:60]} reads past the {view.storage.length} "
                f"numbers of its part."
            )


class _Reader(pickle.Unpickler):
    """Unpickles with stand-ins; only plain containers and numbers are made for real."""

    def __init__(self, file: IO[bytes]):
        super().__init__(file, encoding="utf-8")
        self.claims = Claims()

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            return self._view
        if module == "torch._tensor" and name == "_rebuild_from_type_v2":
            return _from_type
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("torch", "torch.storage") and name in _BYTES:
            return _BYTES[name]
        return _StandIn

    def persistent_load(self, pid: Any) -> Storage:
        kind, number_bytes, key, _, length = pid[:5]
        # a storage of a kind that is not known here is refused by PyTorch's reader
        known = isinstance(number_bytes, int)
        if kind != "storage" or not isinstance(key, (str, int)) or not _is_count(length):
            raise ClaimError("does not fit together: a part of it is described wrongly.")
        storage = Storage(str(key), length, number_bytes if known else 1)
        if self.claims.storages.setdefault(storage.key, storage).nbytes != storage.nbytes:
            raise ClaimError(f"does not fit together: its part {storage.key[:40]!r} is described twice.")
        return storage

    def _view(self, storage: Any, offset: Any, size: Any, stride: Any, *_more: Any) -> Any:
        counts = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
        if not isinstance(storage, Storage) or not counts or not all(map(_is_count, (offset, *size, *stride))):
            raise ClaimError("does not fit together: a tensor is described wrongly.")
        view = View(storage, offset, size, stride)
        self.claims.views.append(view)
        return _StandIn()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _from_type(rebuild: Any, _type: Any, arguments: Any, _state: Any) -> Any:
    """Stands in for a tensor with attributes of its own, which is made of a plain one."""
    return rebuild(*arguments) if callable(rebuild) and isinstance(arguments, tuple) else _StandIn()


class _StandIn:
    """Whatever a pickle names, makes or fills, without doing it."""

    def __new__(cls, *_arguments: Any, **_more: Any) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *_arguments: Any, **_more: Any) -> None:
        pass

    def __call__(self, *_arguments: Any, **_more: Any) -> _StandIn:
        return self

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def append(self, _item: Any) -> None:
        pass

    def extend(self, _items: Any) -> None:
        pass

    def add(self, _item: Any) -> None:
        pass
