"""Save a stream's state and resume from it, exact or compact; check files from strangers."""

from .capture_and_resume import Snapshot, capture, restore, resume, snapshot
from .format import COMPACT, DECODER, EXACT
from .stream_state import StreamState, read_meta

__all__ = [
    "COMPACT",
    "DECODER",
    "EXACT",
    "Snapshot",
    "StreamState",
    "capture",
    "read_meta",
    "restore",
    "resume",
    "snapshot",
]
