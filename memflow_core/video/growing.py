"""A file that grows by whole fragments, and is valid after each."""

from __future__ import annotations

from pathlib import Path


class GrowingFile:
    """A new file to which fragments are appended; a fragment that cannot be written whole is cut off again.

    fragments, bytes  how much was appended.

    Raises FileExistsError if there is such a file, and OSError if it cannot be made.
    """

    def __init__(self, path: Path):
        # unbuffered, so that what is written here survives this program
        self._file = path.open("xb", buffering=0)
        self.fragments = 0
        self.bytes = 0

    def append(self, fragment: bytes) -> None:
        """Write a fragment to its end. Raises OSError, as on a full disk; the file then ends as it did before."""
        rest = memoryview(fragment)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            # half a fragment would make players complain
            self._file.truncate(self.bytes)
            raise
        self.fragments += 1
        self.bytes += len(fragment)

    def close(self) -> None:
        """Close the file; it stays as it is."""
        self._file.close()
