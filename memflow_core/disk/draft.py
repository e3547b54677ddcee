"""Drafts: hidden files that become a file of its real name once they are whole, or vanish.

A draft's name says that it is one of ours. While its program lives, it holds a lock on the draft; one without a lock
was left by a program that was killed, and may be removed by the next.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from pathlib import Path
from types import ModuleType, TracebackType

from .sync import sync_file, sync_folder

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed in the first place
    fcntl = None

_NAME = re.compile(r"\.memflow-draft-[0-9a-f]{16}(?:\.\w+)?")
# drafts of earlier versions of this pack, which held no lock
_OLD_NAME = re.compile(r"\..+\.finishing\.(?:mp4|webm|mkv)|\..+\.safetensors\.unfinished")
# a draft that cannot be locked is left alone for so long after it was last written to
UNLOCKED_S = 3600.0
# between closing a draft and renaming it, where it must be closed for that
CLOSED_S = 60.0
COPY_BYTES = 2**22


class Draft:
    """A new hidden file beside `target`, open for writing, made with the usual mode and never through a link.

    path  its own path, with the target's ending.
    file  binary, unbuffered; another program may write to `path` as well.

    As a context manager it removes the draft unless `finish` gave it its name. Raises OSError if it cannot be made.
    """

    def __init__(self, target: Path):
        self._make(target)
        # a sweep that met the draft before it was locked took it for a stale one
        while not self.is_there():
            self.file.close()
            self._make(target)

    def _make(self, target: Path) -> None:
        self.path = target.with_name(f".memflow-draft-{secrets.token_hex(8)}{target.suffix}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        # 0o666 less the umask, as of any file that a program makes
        self.file = os.fdopen(os.open(self.path, flags, 0o666), "r+b", buffering=0)
        self._own = _identity(os.fstat(self.file.fileno()))
        _lock(self.file.fileno(), wait=True)

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def finish(self, target: Path, *, replace: bool = False) -> None:
        """Bring the draft to the disk, and give it its name.

        target   a path in the same folder.
        replace  whether a file of that name is replaced.

        On Windows a program that looks at the draft, a virus scanner for example, keeps it from being renamed: then its
        content is copied to a new file.

        Raises FileExistsError rather than replace one, FileNotFoundError where the draft is gone, and OSError.
        """
        self._sync()
        if not replace:
            _check_free(target)
        if fcntl is None:
            # Windows renames no file that is open
            self.file.close()
        try:
            os.replace(self.path, target)
        except PermissionError:
            if replace:
                raise
            self._copy(target)
        self.file.close()
        sync_folder(target.parent)

    def _copy(self, target: Path) -> None:
        """Make a new file of the draft's content, which is removed again if it is not whole."""
        with self.path.open("rb") as draft, target.open("xb", buffering=0) as file:
            try:
                shutil.copyfileobj(draft, file, COPY_BYTES)
                sync_file(file.fileno())
            except BaseException:
                file.close()
                target.unlink(missing_ok=True)
                raise

    def _sync(self) -> None:
        if self.file.closed:
            return
        sync_file(self.file.fileno())
        if not self.is_there():
            raise FileNotFoundError(errno.ENOENT, "another program removed it while it was written")

    def is_there(self) -> bool:
        """Whether the draft's name still leads to it."""
        try:
            return _identity(os.lstat(self.path)) == self._own
        except OSError:
            return False

    def discard(self) -> None:
        """Close and remove the draft; nothing once it is finished."""
        if fcntl is None:
            self.file.close()
        if self.is_there():
            self.path.unlink(missing_ok=True)
        self.file.close()


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "a file of that name has appeared in the meantime")


def remove_stale_drafts(folder: Path) -> list[str]:
    """Remove drafts in a folder whose program is gone; returns their names. What is not ours stays, links too."""
    removed = []
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name.startswith(".")]
    except OSError:
        return []
    for entry in entries:
        if (_NAME.fullmatch(entry.name) or _OLD_NAME.fullmatch(entry.name)) and _remove_if_stale(Path(entry.path)):
            removed.append(entry.name)
    return sorted(removed)


def _remove_if_stale(path: Path) -> bool:
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            return False
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            least_s = _least_age_s(path, descriptor)
            if least_s is None or time.time() - found.st_mtime < least_s:
                return False
            if fcntl is not None:
                path.unlink()
        finally:
            os.close(descriptor)
        if fcntl is None:
            path.unlink()
    except OSError:
        # another user's, or another program was faster
        return False
    return True


def _least_age_s(path: Path, descriptor: int) -> float | None:
    """How long ago a draft must have been written to last to be stale; None if its program lives."""
    if not _NAME.fullmatch(path.name):
        return UNLOCKED_S
    if fcntl is None:
        return CLOSED_S
    locked = _lock(descriptor)
    if locked is None:
        return UNLOCKED_S
    return 0.0 if locked else None


def _lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Lock an open file for as long as it is open; False if another program has, None where files have no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
