from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from memflow_core.state import StreamState
from tests.cases.graphs import graphs, stream, tiny, written  # noqa: F401
from tests.core.video.conftest import read_pictures  # noqa: F401
from tools.malformed import saved_streams


@pytest.fixture(scope="session")
def saved() -> list[StreamState]:
    """States of short streams, exact and compact in turn."""
    return saved_streams()


@pytest.fixture
def noise() -> Callable[[int], torch.Tensor]:
    """noise(n) -> n frames that are hard to compress, [n, 32, 32, 3]."""
    generator = torch.Generator().manual_seed(1)
    return lambda frames: torch.rand(frames, 32, 32, 3, generator=generator)


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """What was synced, renamed and removed, in order."""
    import os
    import stat

    seen: list[str] = []

    def what(descriptor: int) -> str:
        return "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"

    fsync, fdatasync, replace, unlink = os.fsync, os.fdatasync, os.replace, Path.unlink
    monkeypatch.setattr(os, "fsync", lambda fd: (seen.append(f"sync {what(fd)}"), fsync(fd))[1])
    monkeypatch.setattr(os, "fdatasync", lambda fd: (seen.append("sync data"), fdatasync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(f"name {Path(b).name}"), replace(a, b))[1])

    def removed(self: Path, missing_ok: bool = False) -> None:
        seen.append(f"remove {self.name}")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", removed)
    return seen
