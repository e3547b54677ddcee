"""A schedule played on a stream, changed live, and a log of what memory did."""

from .encoded_schedule import Script
from .live import LiveScript, Mailbox, NotNow, UnreadablePrompt
from .memory_log import ChunkMemory, MemoryStory, Moment, tell
from .player import Changes, play

__all__ = [
    "Changes",
    "ChunkMemory",
    "LiveScript",
    "Mailbox",
    "MemoryStory",
    "Moment",
    "NotNow",
    "Script",
    "UnreadablePrompt",
    "play",
    "tell",
]
