"""Look at the header of a safetensors file before its own reader does: no claim in it may cost more than the file.

The reader of the format takes headers of 100 MB and any number of tensors, which costs seconds and gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LENGTH_BYTES = 8
_ENTRY = b'"data_offsets"'


@dataclass(frozen=True)
class SafetensorsHeader:
    """What a file's first bytes say: the length of its JSON header in bytes, and about how many tensors it lists."""

    header_bytes: int
    tensors: int


def read_header(path: Path, *, most_bytes: int, most_tensors: int) -> SafetensorsHeader:
    """Length and number of tensors of a header, which is not parsed.

    Raises ValueError, as the end of a sentence, for a header that is longer than the file or than `most_bytes`, or that
    lists more than `most_tensors`; OSError.
    """
    with path.open("rb") as file:
        file.seek(0, 2)
        rest = file.tell() - LENGTH_BYTES
        file.seek(0)
        claimed = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if claimed > rest:
            raise ValueError("is damaged or cut off: its header is longer than the file")
        if claimed > most_bytes:
            raise ValueError(f"has a header of {claimed / 1e6:.0f} MB, but no such file needs more than "
                             f"{most_bytes / 1e6:.0f} MB")  # fmt: skip
        listed = file.read(claimed).count(_ENTRY)
    if listed > most_tensors:
        raise ValueError(f"lists {listed} tensors, but no such file has more than {most_tensors}")
    return SafetensorsHeader(claimed, listed)
