"""Stream benchmark: speed and memory of the stream, counted and measured, against a plain program."""

from .baseline import PlainStream
from .sizes import FPS, SIZES
from .work import chunk_work

__all__ = ["FPS", "SIZES", "PlainStream", "chunk_work"]
