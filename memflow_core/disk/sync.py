"""Bring what was written to a file from the system's memory to the disk, so that a power cut does not take it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

# what a file system answers that cannot sync, as some network and FUSE mounts: then there is nothing more to do
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def sync_file(descriptor: int) -> None:
    """Wait until a file's content and length are on the disk. Raises OSError if the disk refuses them."""
    _sync(os.fsync, descriptor)


def sync_growing(descriptor: int) -> None:
    """The same for a file that goes on growing; times of its last change may be lost, which saves a write."""
    # only Linux has it in a form that writes the new length, too
    _sync(os.fdatasync if sys.platform.startswith("linux") else os.fsync, descriptor)


def _sync(call: Callable[[int], None], descriptor: int) -> None:
    try:
        call(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk: a file that was made, renamed or removed there.

    Windows has no such call; its file systems keep a journal of names.
    """
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        # a folder that may be written to, but not listed, cannot be synced
        return
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)
