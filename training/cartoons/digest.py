"""Digest of the data set's source code, for names of files that are computed from it."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache

from . import characters, motion, paths, prompts, sagas, sampling, story, world


@cache
def dataset_digest() -> str:
    """Return 12 hex digits that change with the code which decides how stories are drawn, and which ones."""
    code = "".join(
        inspect.getsource(module) for module in (world, characters, prompts, motion, story, sampling, sagas, paths)
    )
    return hashlib.sha256(code.encode()).hexdigest()[:12]
