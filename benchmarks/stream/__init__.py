"""Stream benchmark: speed and memory of the stream, counted and measured, against a plain program."""

from .baseline import PlainStream
from .variants import Weights, make_stream
from .work import chunk_work, frames_read

__all__ = ["PlainStream", "Weights", "chunk_work", "frames_read", "make_stream"]
