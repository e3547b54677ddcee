"""Streaming long video with a memory: the core, which needs no ComfyUI.

    import memflow_core as mf

The names below are loaded on first use, so that those of the schedule load without torch. README has an example.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
    from .keep import Keep
    from .model import Backbone
    from .play import EncodedSchedule, MemoryLog, play
    from .profiles import Profile, profile_of
    from .schedule import ChunkGrid, PromptSchedule, ScheduleError, Time, read_schedule, to_text
    from .state import StreamState, capture, resume
    from .stream import Chunk, Stream
    from .video import VideoWriter
    from .weights import load_generator, read_generator, read_lora

__all__ = [
    "Backbone",
    "Chunk",
    "ChunkGrid",
    "EncodedSchedule",
    "Keep",
    "LatentShape",
    "MemoryConfig",
    "MemoryLog",
    "ModelConfig",
    "Profile",
    "PromptSchedule",
    "SamplingConfig",
    "ScheduleError",
    "Stream",
    "StreamState",
    "Time",
    "VideoWriter",
    "capture",
    "load_generator",
    "play",
    "profile_of",
    "read_generator",
    "read_lora",
    "read_schedule",
    "resume",
    "to_text",
]

_ROOMS = {
    "config": ("LatentShape", "MemoryConfig", "ModelConfig", "SamplingConfig"),
    "keep": ("Keep",),
    "model": ("Backbone",),
    "play": ("EncodedSchedule", "MemoryLog", "play"),
    "profiles": ("Profile", "profile_of"),
    "schedule": ("ChunkGrid", "PromptSchedule", "ScheduleError", "Time", "read_schedule", "to_text"),
    "state": ("StreamState", "capture", "resume"),
    "stream": ("Chunk", "Stream"),
    "video": ("VideoWriter",),
    "weights": ("load_generator", "read_generator", "read_lora"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ROOM_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Core(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # Python binds a room here when it is first imported, and the room `play` would hide the function of that name
        if not (name in _ROOM_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Core
