"""Stream benchmark: speed and memory of the stream, counted and measured, against a plain program."""

from .baseline import PlainStream
from .work import chunk_work, frames_read

__all__ = ["PlainStream", "chunk_work", "frames_read"]
