"""Look into PyTorch's zip archives before they are read: nothing in one may claim more than its file holds.

PyTorch stores members as they are. So one that is compressed, lies over another or fails its checksum is none of its
own making, or is damaged.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

MOST_MEMBERS = 100_000
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _MOST_COMMENT = 22, 2**16
_HEAD, _HEAD_BYTES = b"PK\x03\x04", 30  # before each member
_ENTRY_BYTES = 46  # at least, of a member in the list at an archive's end
_CHUNK = 2**22
# of a file that was saved with torch.serialization.set_crc32_options(False), every member's
_NOT_COMPUTED = 0


class ArchiveError(ValueError):
    """What is wrong with an archive, as the end of a sentence that starts with its name."""


def members_of(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Members of an archive by their names, without its own folder: `data.pkl`, `data/0`.

    Raises ArchiveError for an archive that is damaged, or none that PyTorch writes; OSError.
    """
    if _listed(path) > MOST_MEMBERS:
        raise ArchiveError(f"holds more than {MOST_MEMBERS} parts, as no weight file does.")
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ArchiveError("is damaged or cut off: download it again.") from error
    members = {member.filename.partition("/")[2] or member.filename: member for member in found}
    if len(members) < len(found):
        raise ArchiveError("holds two parts of one name, as no weight file does.")
    return members


def check_members(path: Path, members: dict[str, zipfile.ZipInfo]) -> None:
    """Raise ArchiveError for members that are compressed, or that lie over one another."""
    end = 0
    for member in sorted(members.values(), key=lambda member: member.header_offset):
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ArchiveError(
                f"is compressed ({shown_name(member.filename)}), as PyTorch does not: save it again with torch.save."
            )
        if member.header_offset < end:
            raise ArchiveError(f"is damaged: {shown_name(member.filename)} lies over another part.")
        end = member.header_offset + member.file_size
    if end > path.stat().st_size:
        raise ArchiveError("is damaged or cut off: download it again.")


def content_of(path: Path, member: zipfile.ZipInfo) -> bytes:
    """Bytes of a member that is stored as it is, whatever its checksum. Raises ArchiveError where it is cut off."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        head = file.read(_HEAD_BYTES)
        if len(head) < _HEAD_BYTES or head[:4] != _HEAD:
            raise ArchiveError("is damaged or cut off: download it again.")
        # the member's name, and what its writer added
        file.seek(sum(struct.unpack_from("<HH", head, _HEAD_BYTES - 4)), 1)
        return file.read(member.file_size)


def check_sums(path: Path, members: dict[str, zipfile.ZipInfo]) -> None:
    """Read all members once; raise ArchiveError for the first whose checksum does not fit."""
    if all(member.CRC == _NOT_COMPUTED for member in members.values()):
        return
    with zipfile.ZipFile(path) as archive:
        for member in members.values():
            try:
                with archive.open(member) as content:
                    while content.read(_CHUNK):
                        pass
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
                raise ArchiveError(
                    f"is damaged: the checksum of {shown_name(member.filename)} does not fit; download it again."
                ) from error


def _listed(path: Path) -> int:
    """How many members the list at an archive's end can have, by its length; that is what costs time and memory."""
    with path.open("rb") as file:
        file.seek(0, 2)
        size = file.tell()
        start = max(0, size - _END_BYTES - _MOST_COMMENT)
        file.seek(start)
        tail = file.read()
        place = tail.rfind(_END)
        if place < 0 or len(tail) - place < _END_BYTES:
            return 0
        length = struct.unpack_from("<L", tail, place + 12)[0]
        locator = place - 20
        if locator >= 0 and tail[locator : locator + 4] == _LOCATOR_64:
            file.seek(min(struct.unpack_from("<Q", tail, locator + 8)[0], size))
            end = file.read(56)
            if len(end) == 56 and end[:4] == _END_64:
                length = struct.unpack_from("<Q", end, 40)[0]
    return min(length, size) // _ENTRY_BYTES


def shown_name(name: str) -> str:
    """The start of a name from a file as a message shows it, quoted and without what cannot be shown."""
    return repr(name[:60])
