"""A schedule played on a stream, changed live, and a log of what memory did."""

from .encoded_schedule import EncodedSchedule
from .live import LiveConflict, LiveControl, LiveSchedule, PromptEncodingError
from .memory_log import ChunkMemory, MemoryLog, RememberedFrame, read_log
from .player import Changes, play

__all__ = [
    "Changes",
    "ChunkMemory",
    "LiveSchedule",
    "LiveControl",
    "MemoryLog",
    "RememberedFrame",
    "LiveConflict",
    "EncodedSchedule",
    "PromptEncodingError",
    "play",
    "read_log",
]
