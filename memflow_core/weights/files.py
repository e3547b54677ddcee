"""Read weight files, safetensors and PyTorch's own, to one flat dict. No code in them is run.

The format is recognised by a file's first bytes, not by its name.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..disk import check_header
from .archive import ArchiveError, check_members, check_sums, content_of, members_of, shown_name
from .claims import MOST_PICKLE_BYTES, MOST_TENSORS, ClaimError, read_claims

HEAD_BYTES = 512
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"
DAMAGED = "is damaged or cut off: download it again."
# of the JSON header of a safetensors file; the limit of its own reader, and what weights need
MAX_HEADER_BYTES = 100_000_000
MOST_HEADER_BYTES = 16_000_000
# of files from before PyTorch 1.6: a pickle of this number, two more (a version, and sizes of C types), the content
_OLD_MARK = 0x1950A86A20F9469CFC6C
_OLD_PICKLES = 4
# of dicts in dicts; in a hostile file a dict may hold itself
MAX_NESTING = 8
# infixes of FSDP, activation checkpointing and torch.compile
_WRAPPERS = re.compile(r"_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.|_orig_mod\.")
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
FLOATS = (*DTYPES, torch.float64)


@dataclass(frozen=True)
class Checkpoint:
    """Content of a weight file.

    tensors   by their path in the file, joined by dots.
    metadata  of a safetensors file.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read the tensors of a .safetensors, .pt, .pth, .ckpt or .bin file, on the CPU, memory-mapped where possible.

    Nested dicts become dotted names: `{"generator": {"model.x": ...}}` is `generator.model.x`. What is not a
    tensor is left out. Dtypes stay those of the file. A zip archive's checksums are checked, and no file may claim more
    than it holds: that is looked at before anything of such a size is made.

    Raises FileNotFoundError, or ValueError for a file that holds no weights, is damaged, or needs code to be run.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the weight file in it.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no weight file at {path}.")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    # safetensors before the others: it starts with a length, whose bytes may be those of any format
    if _is_safetensors(head):
        return _with_plain_names(_read_safetensors(path))
    other_format = _describe_other_format(head)
    if other_format:
        raise ValueError(f"{path.name} {other_format}")
    if head.startswith((ZIP_MAGIC, PICKLE_MAGIC)):
        return _with_plain_names(
            Checkpoint(path, _flat_tensors(path, _unpickle(path, zipped=head.startswith(ZIP_MAGIC))))
        )
    raise ValueError(f"{path.name} is neither a safetensors nor a PyTorch file, or it {DAMAGED}")


def _with_plain_names(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint itself. Raises ValueError for names that no message could show."""
    for key in checkpoint.tensors:
        if not key.isprintable():
            raise ValueError(f"{checkpoint.path.name} is no weight file: a tensor is called {shown_name(key)}.")
    return checkpoint


def cast(state_dict: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights in bfloat16, float16 or float32, shared where they are so already; integers stay as they are.

    Raises ValueError for another dtype.
    """
    check_dtype(dtype)
    return {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in state_dict.items()}


def check_dtype(dtype: torch.dtype) -> None:
    """Raise ValueError unless a model can compute in a dtype."""
    if dtype not in DTYPES:
        raise ValueError(f"weights can be cast to {', '.join(map(str, DTYPES))}, but not to {dtype}.")


def check_finite(name: str, state_dict: Mapping[str, Tensor]) -> None:
    """Raise ValueError naming the first weight that is no plain one, or that holds NaN or infinity. No copies.

    Plain weights have every number once: a file of a kilobyte must not claim tensors of a terabyte that repeat it.
    """
    _check_plain(name, state_dict)
    for key, tensor in state_dict.items():
        if tensor.is_floating_point() and tensor.numel() and not all(map(torch.isfinite, torch.aminmax(tensor))):
            raise ValueError(f"{name} is damaged: {key} holds NaN or infinity.")


def _check_plain(name: str, state_dict: Mapping[str, Tensor]) -> None:
    places: dict[tuple[int, int], str] = {}
    copies = 0
    for key, tensor in state_dict.items():
        if _repeats(tensor):
            raise ValueError(f"{name} is no plain weight file: {key} {list(tensor.shape)} is fewer numbers, repeated.")
        if tensor.numel():
            start = tensor.data_ptr()
            place = (start, start + tensor.element_size() * _extent(tensor))
            # the very same place twice is one weight under two names
            copies += tensor.nbytes if place in places else 0
            places.setdefault(place, key)
    end, before = 0, ""
    for (start, stop), key in sorted(places.items()):
        if start < end:
            raise ValueError(f"{name} is no plain weight file: {before} and {key} share some of their numbers.")
        end, before = stop, key
    if copies > sum(stop - start for start, stop in places):
        raise ValueError(f"{name} is no plain weight file: most of its tensors are one and the same.")


def _extent(tensor: Tensor) -> int:
    """How many places of its storage a tensor of at least one number spans."""
    return 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))


def _repeats(tensor: Tensor) -> bool:
    """Whether two places of a tensor may be one number, as with a stride of 0."""
    reach = 0
    for step, n in sorted((step, n) for n, step in zip(tensor.shape, tensor.stride(), strict=True) if n > 1):
        if step <= reach:
            return tensor.numel() > 0
        reach += (n - 1) * step
    return False


def strip_wrappers(key: str, prefix: re.Pattern[str]) -> str:
    """A tensor's name without the infixes of training wrappers, and then without `prefix`."""
    return prefix.sub("", _WRAPPERS.sub("", key))


def join_names(names: list[str], most: int = 3) -> str:
    """The first few names of a list, for an error message: 'a, b, c and 4 more'."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES


def _describe_other_format(head: bytes) -> str | None:
    """The end of an error message about a file that starts so, if it holds no weights or is a GGUF."""
    text = head.lstrip().lower()
    if not head:
        return "is empty: download it again."
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not weights: the download went wrong, so download it again."
    if text.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights themselves: fetch them with `git lfs pull`."
    if head.startswith(b"GGUF"):
        return "is a GGUF file: load it with a GGUF loader node, whose MODEL works in the sampler."
    if text.startswith((b"{", b"[")):
        return "is JSON text, not weights: name the weight file that belongs to it."
    return None


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        check_header(path, most_bytes=MOST_HEADER_BYTES, most_tensors=MOST_TENSORS)
    except ValueError as error:
        raise ValueError(f"{path.name} {error}.") from error
    try:
        with safe_open(path, framework="pt") as file:
            # the handle is not a dict: it has no other way to list its names
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(path, tensors, file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path.name} {DAMAGED}") from error


def _unpickle(path: Path, zipped: bool) -> Any:
    try:
        _check_archive(path) if zipped else _check_old(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (ArchiveError, ClaimError) as error:
        raise ValueError(f"{path.name} {error}") from error
    except UnpicklingError as error:
        raise ValueError(_describe_refusal(path, str(error))) from error
    except (OSError, MemoryError):
        raise
    # a damaged pickle can make the reader raise anything
    except Exception as error:
        raise ValueError(f"{path.name} {DAMAGED}") from error


def _check_archive(path: Path) -> None:
    """Raise ArchiveError or ClaimError unless an archive is one of PyTorch's, whole, and holds what it claims."""
    members = members_of(path)
    names = {name.rsplit("/", 1)[-1] for name in members}
    if "constants.pkl" in names:
        raise ArchiveError("is a TorchScript program, not weights: nothing in it was run.")
    if "data.pkl" not in members:
        raise ArchiveError("is a zip archive without PyTorch weights: unpack it, and name the weight file.")
    check_members(path, members)
    if members["data.pkl"].file_size > MOST_PICKLE_BYTES:
        raise ArchiveError(f"lists more than any weight file does ({MOST_PICKLE_BYTES // 10**6} MB): it was refused.")
    claims = read_claims(io.BytesIO(content_of(path, members["data.pkl"])))
    for storage in claims.storages.values():
        part = members.get(f"data/{storage.key}")
        if part is None or part.file_size != storage.nbytes:
            held = "not there" if part is None else f"{part.file_size} bytes"
            raise ArchiveError(
                f"does not fit together: its part {storage.key[:40]!r} is {held} instead of {storage.nbytes} bytes."
            )
    check_sums(path, members)


def _check_old(path: Path) -> None:
    """Raise ClaimError unless a file from before PyTorch 1.6 can hold what it claims."""
    size = path.stat().st_size
    with path.open("rb") as file:
        claims = read_claims(file)
        # anything else is refused by PyTorch's reader, which looks no further either
        if claims.content == _OLD_MARK:
            claims = [read_claims(file) for _ in range(_OLD_PICKLES - 1)][-1]
    held = sum(storage.nbytes for storage in claims.storages.values())
    if held > size:
        raise ClaimError(
            f"is damaged or cut off: it claims {held / 1e6:.0f} MB of numbers, but has only {size / 1e6:.3g} MB."
        )


def _describe_refusal(path: Path, reason: str) -> str:
    wanted = re.search(r"(?:GLOBAL|class|function) `?([\w.]+)", reason)
    if wanted is None:
        return f"{path.name} is damaged, or no PyTorch weights: it was refused and nothing in it was run."
    return (
        f"{path.name} holds more than weights: to load it, {wanted[1]} would have to be run, so it was "
        "refused and nothing in it was run; ask for its weights alone, best as safetensors."
    )


def _flat_tensors(path: Path, content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{path.name} holds a {type(content).__name__}, not named weights.")
    return dict(_named_tensors(path, content, ()))


def _named_tensors(path: Path, content: Mapping[Any, Any], above: tuple[Any, ...]) -> Iterator[tuple[str, Tensor]]:
    if len(above) > MAX_NESTING:
        raise ValueError(f"{path.name} is nested more than {MAX_NESTING} levels deep, as no weight file is.")
    for key, value in content.items():
        if isinstance(value, Tensor):
            name = ".".join(map(str, (*above, key)))
            if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
                raise ValueError(f"{path.name} holds {name} without plain numbers: ask for plain weights.")
            yield name, value
        elif isinstance(value, Mapping):
            yield from _named_tensors(path, value, (*above, key))
