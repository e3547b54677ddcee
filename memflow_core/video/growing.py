"""A file that grows by whole fragments, is valid after each, and is watched: it must stay where and what it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..disk import sync_file, sync_folder, sync_growing

# fragments between two syncs: 3 s of video, which is what a power cut may cost
SYNC_EVERY = 4


class LostFileError(OSError):
    """The growing file is no longer where it was made, or is no longer what was written to it."""


class GrowingFile:
    """A new file to which fragments are appended; a fragment that cannot be written whole is cut off again.

    fragments, bytes  how much was appended.

    Raises FileExistsError if there is such a file, and OSError if it cannot be made.
    """

    def __init__(self, path: Path):
        self.path = path
        # unbuffered, so that what is written here survives this program
        self._file = path.open("xb", buffering=0)
        self.fragments = 0
        self.bytes = 0

    def append(self, fragment: bytes) -> None:
        """Write a fragment to its end, and from time to time to the disk itself.

        Raises LostFileError where the file was moved, removed or changed, and OSError, as on a full disk; the file then
        ends as it did before.
        """
        self.check()
        rest = memoryview(fragment)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            if self.fragments % SYNC_EVERY == 0:
                sync_growing(self._file.fileno())
        except OSError:
            # half a fragment would make players complain
            self._file.truncate(self.bytes)
            raise
        self.fragments += 1
        self.bytes += len(fragment)
        if self.fragments == 1:
            sync_folder(self.path.parent)

    def check(self) -> None:
        """Raise LostFileError unless the file is in its place, as long as it was left, in a folder that takes files."""
        held = os.fstat(self._file.fileno())
        try:
            found = os.stat(self.path)
        except PermissionError as error:
            raise LostFileError(errno.EACCES, "its folder can no longer be read") from error
        except OSError as error:
            raise LostFileError(errno.ENOENT, f"it was {self._what_happened(held)}") from error
        if not os.path.samestat(found, held):
            raise LostFileError(errno.ENOENT, f"it was {self._what_happened(held)}, and another file has its name")
        if held.st_size != self.bytes:
            raise LostFileError(errno.EIO, "another program has written to it")
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise LostFileError(errno.EACCES, "its folder no longer lets files be written into it")

    def close(self) -> None:
        """Bring the file to the disk and close it; it stays as it is. Raises OSError if the disk refuses."""
        if self._file.closed:
            return
        try:
            sync_file(self._file.fileno())
        finally:
            self._file.close()

    def _what_happened(self, held: os.stat_result) -> str:
        if not held.st_nlink:
            return "deleted"
        try:
            place = os.readlink(f"/proc/self/fd/{self._file.fileno()}")
        except OSError:
            place = ""
        return f"moved to {place}" if os.path.isabs(place) and os.path.exists(place) else "moved, or its folder was"
