"""Play a schedule on a stream, change it live, and log what memory did."""

from .encoded_schedule import EncodedSchedule
from .live import LiveConflict, LiveControl, LiveSchedule, PromptEncodingError, PromptRequest
from .memory_log import ArchiveChoice, ChunkMemory, MemoryLog, RememberedFrame, read_log
from .player import Changes, play

__all__ = [
    "ArchiveChoice",
    "Changes",
    "ChunkMemory",
    "EncodedSchedule",
    "LiveConflict",
    "LiveControl",
    "LiveSchedule",
    "MemoryLog",
    "PromptEncodingError",
    "PromptRequest",
    "RememberedFrame",
    "play",
    "read_log",
]
