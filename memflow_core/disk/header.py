"""Look at the header of a safetensors file before its own reader does: no claim in it may cost more than the file.

The reader of the format takes headers of 100 MB and any number of tensors, which costs seconds and gigabytes.
"""

from __future__ import annotations

from pathlib import Path

LENGTH_BYTES = 8
_ENTRY = b'"data_offsets"'


def check_header(path: Path, *, most_bytes: int, most_tensors: int) -> None:
    """Raise ValueError for a header that costs more than its file is worth; it is not parsed.

    The message is the end of a sentence. Refused is a header that is longer than the file or than `most_bytes`, or that
    lists more than `most_tensors`. Raises OSError as well.
    """
    with path.open("rb") as file:
        file.seek(0, 2)
        rest = file.tell() - LENGTH_BYTES
        file.seek(0)
        claimed = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if claimed > rest:
            raise ValueError("is damaged or cut off: its header is longer than the file")
        if claimed > most_bytes:
            most = f"{most_bytes / 1e6:.0f} MB"
            raise ValueError(f"has a header of {claimed / 1e6:.0f} MB, but no such file needs more than {most}")
        listed = file.read(claimed).count(_ENTRY)
    if listed > most_tensors:
        raise ValueError(f"lists {listed} tensors, but no such file has more than {most_tensors}")
