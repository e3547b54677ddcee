"""Where processes of the tests look for modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_tests_alone() -> Iterator[None]:
    """Let new processes import these `tests`: ComfyUI has a package of that name, which goes before a plain folder."""
    before = list(sys.path)
    sys.path[:] = [place for place in before if not Path(place, "tests", "__init__.py").is_file()]
    try:
        yield
    finally:
        sys.path[:] = before
