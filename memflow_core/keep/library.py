"""A folder of kept moments and parts, within a budget of bytes.

The folder itself is the index: a file has its name only once it is whole and on the disk, and its name says what it is.
So there is nothing that a kill could leave half-written, and any number of programs may use one folder: each sees what
is whole, and takes what another has removed for something that is not there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from ..disk import remove_stale_drafts
from ..state import EXACT, StreamState
from ..video import FilmPart
from .labels import LabelName, LabelText, label_of, read_label, write_label
from .parts import (
    MomentFile,
    film_name,
    is_kept_name,
    latents_name,
    moment_name,
    read_film,
    read_latents,
    split_name,
    write_film,
    write_latents,
)

GB = 2**30
DEFAULT_GB = 20
# of the disk: what is free stays free in part, for everything else that is written to it
FREE_SHARE, LEAVE_FREE = 0.25, 2 * GB
_MOMENT = "moment"  # key of a moment's JSON: its digest and its chunk

Read = TypeVar("Read")


def default_budget(folder: Path) -> int:
    """Bytes for kept moments where the user sets none: a quarter of what is free, at most 20 GB."""
    with suppress(OSError):
        return min(DEFAULT_GB * GB, int(shutil.disk_usage(_existing(folder)).free * FREE_SHARE))
    return 0


class Library:
    """Kept moments and parts of stories in a folder, which is made when the first is written.

    budget   most bytes of all files together. 0: nothing is kept, and the folder is not touched.
    on_told  called with each sentence that the user should read: what was skipped, what had to go.
    """

    def __init__(self, folder: str | Path, budget: int, on_told: Callable[[str], None] = lambda _: None):
        self.folder = Path(folder)
        self.budget = budget
        self._on_told = on_told
        # digests of the story under way, which go last
        self._chain: dict[str, int] = {}
        # names of files that could not be used, which are written anew
        self._unusable: set[str] = set()

    # -- what there is ------------------------------------------------------------------------------------------------

    def files(self) -> list[MomentFile]:
        """All whole files of the library, those longest unused first."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if not is_kept_name(entry.name):
                    continue
                # another program may have removed it since
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_file(follow_symlinks=False):
                        kind, digest = split_name(entry.name)
                        found.append(MomentFile(Path(entry.path), kind, digest, status.st_size, status.st_mtime))
        return sorted(found, key=lambda file: (file.used_s, file.path.name))

    def has_moment(self, digest: str) -> bool:
        return self.budget > 0 and (self.folder / moment_name(digest)).is_file()

    def has_latents(self, digest: str, first: int) -> bool:
        return self.budget > 0 and (self.folder / latents_name(digest, first)).is_file()

    def has_film(self, digest: str, first: int, encoding: str) -> bool:
        return self.budget > 0 and (self.folder / film_name(digest, first, encoding)).is_file()

    def labels(self) -> list[LabelName]:
        """What the names of all labels say, of those first that were not of use for longest."""
        found = (label_of(file.path.name) for file in self.files() if file.kind == "label")
        return [name for name in found if name is not None]

    # -- reading: None, and a sentence, for what cannot be used -------------------------------------------------------

    def moment(self, digest: str, chunk: int) -> StreamState | None:
        """The stream's state at a chunk's start, or None where it is not kept or not whole."""

        def read(path: Path) -> StreamState:
            state = StreamState.load(path)
            if state.meta.get(_MOMENT) != [digest, chunk] or state.chunks != chunk or state.content != EXACT:
                raise ValueError(f"{path.name} is the moment of another story.")
            return state

        return self._read(moment_name(digest), read)

    def latents(self, digest: str, first: int) -> Tensor | None:
        """Latents [B, C, F, h, w] float32 of the chunks from `first` up to a moment, or None."""
        return self._read(latents_name(digest, first), read_latents)

    def film(self, digest: str, first: int, encoding: str) -> FilmPart | None:
        """Compressed pictures of the chunks from `first` up to a moment, or None."""
        return self._read(film_name(digest, first, encoding), read_film)

    def label(self, name: LabelName) -> LabelText | None:
        """What a label tells, or None where it is damaged or gone."""
        return self._read(name.file, lambda path: read_label(path.parent, name))

    def _read(self, name: str, read: Callable[[Path], Read]) -> Read | None:
        path = self.folder / name
        if self.budget <= 0 or not path.is_file() or path.is_symlink():
            return None
        try:
            content = read(path)
        except (ValueError, OSError) as error:
            self._unusable.add(name)
            self._on_told(f"a kept moment is skipped: {str(error).rstrip('.')}.")
            return None
        self._touch(path)
        return content

    def _touch(self, path: Path) -> None:
        # one that is read is of use
        with suppress(OSError):
            os.utime(path)

    # -- writing ------------------------------------------------------------------------------------------------------

    def follow(self, chain: Iterable[tuple[str, int]]) -> None:
        """Name the story under way, (digest, chunk) of each of its part's ends so far: its files go last."""
        self._chain = dict(chain)
        for file in self.files():
            if file.digest in self._chain:
                self._touch(file.path)

    def keep_moment(self, digest: str, chunk: int, state: StreamState) -> bool:
        """Write a moment; returns whether it is kept. Raises OSError, as on a full disk; nothing is there then."""
        self._chain[digest] = chunk
        path = self.folder / moment_name(digest)
        size = sum(tensor.nbytes for tensor in state.tensors.values())
        named = replace(state, meta={**state.meta, _MOMENT: [digest, chunk]})
        return self._keep(path, size, lambda: named.save(path, replace=True))

    def keep_latents(self, digest: str, first: int, chunk: int, latents: Tensor) -> bool:
        """Write a part's latents [B, C, F, h, w] float32; as `keep_moment`."""
        self._chain[digest] = chunk
        path = self.folder / latents_name(digest, first)
        return self._keep(path, latents.nbytes, lambda: write_latents(path, latents))

    def keep_film(self, digest: str, first: int, chunk: int, part: FilmPart) -> bool:
        """Write a part's compressed pictures; as `keep_moment`."""
        self._chain[digest] = chunk
        path = self.folder / film_name(digest, first, part.encoding)
        size = sum(len(packet.content) for packet in part.packets)
        return self._keep(path, size, lambda: write_film(path, part))

    def keep_label(self, name: LabelName, text: LabelText) -> bool:
        """Write a part's label, which takes next to no room; as `keep_moment`."""
        if self.budget <= 0:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        write_label(self.folder, name, text)
        return True

    def _keep(self, path: Path, size: int, write: Callable[[], None]) -> bool:
        if self.budget <= 0:
            return False
        if path.name not in self._unusable and path.is_file():
            # made from the same, so it is the same
            self._touch(path)
            return True
        if size > self.budget:
            self._on_told(
                f"a moment of {size / GB:.2f} GB is not kept: the budget is {self.budget / GB:.2f} GB; raise it to go "
                f"on from here later."
            )
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_stale_drafts(self.folder)
        if not self._make_room(path, size):
            return False
        write()
        self._unusable.discard(path.name)
        return True

    def _make_room(self, path: Path, size: int) -> bool:
        """Remove what goes first until a new file fits. Returns False where it should rather not be written."""
        files = [file for file in self.files() if file.path != path]
        gone = first_to_go(files, size, self.budget, self._chain, split_name(path.name)[1])
        if gone is None:
            return False
        for file in gone:
            self._remove(file)
        if gone:
            freed = sum(file.bytes for file in gone)
            self._on_told(f"{len(gone)} kept files ({freed / GB:.2f} GB) gave way to newer moments.")
        free = shutil.disk_usage(self.folder).free
        if free < size + LEAVE_FREE:
            raise OSError(28, f"only {free / GB:.1f} GB of the disk are free")
        return True

    def _remove(self, file: MomentFile) -> None:
        # on Windows one that another program reads stays
        with suppress(OSError):
            file.path.unlink(missing_ok=True)

    def remove_all(self, digests: Collection[str] | None = None) -> int:
        """Remove all files, or those of some digests; returns the bytes that were freed."""
        freed = 0
        for file in self.files():
            if digests is None or file.digest in digests:
                self._remove(file)
                freed += file.bytes
        remove_stale_drafts(self.folder)
        with suppress(OSError):
            self.folder.rmdir()
        return freed


def first_to_go(
    files: list[MomentFile], size: int, budget: int, chain: dict[str, int], newest: str
) -> list[MomentFile] | None:
    """The files that give way to a new one of `size` bytes, so that all fit into a budget.

    files   those there are, the longest unused first.
    chain   the chunk of each digest of the story under way.
    newest  the digest of the new one.

    Other stories' files go first: moments before parts, which are small, the longest unused first. Then moments of this
    story, the one without which the least has to be made again: where the moments beside it are closest. Returns None
    where the new one itself is the one of least use.
    """
    over = sum(file.bytes for file in files) + size - budget
    gone: list[MomentFile] = []
    others = [file for file in files if file.digest not in chain]
    for file in sorted(others, key=lambda file: file.kind != "moment"):
        if over <= 0:
            return gone
        gone.append(file)
        over -= file.bytes
    moments = {file.digest: file for file in files if file.digest in chain and file.kind == "moment"}
    while over > 0:
        digest = _least_useful({**dict.fromkeys(moments), newest: None}, chain)
        if digest is None or digest == newest:
            return None
        gone.append(moments[digest])
        over -= moments.pop(digest).bytes
    return gone


def _least_useful(digests: Collection[str], chain: dict[str, int]) -> str | None:
    """The moment of a story whose loss costs the least, never the newest: a change anywhere between it and the next
    would be rendered from the one before it."""
    chunks = sorted((chain[digest], digest) for digest in digests)
    costs = []
    for number, (chunk, digest) in enumerate(chunks[:-1]):
        before = chunks[number - 1][0] if number else 0
        costs.append(((chunk - before) * (chunks[number + 1][0] - chunk), chunk, digest))
    return min(costs)[2] if costs else None


def _existing(folder: Path) -> Path:
    return folder if folder.exists() or folder == folder.parent else _existing(folder.parent)
