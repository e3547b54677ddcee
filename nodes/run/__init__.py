"""One run of a sampling node: request, plan, session, live control, output, events."""

from .live import RUNNING
from .memory_settings import CUSTOM, CUSTOM_VALUES, MEMORY_OPTIONS, memory_from_widgets, memory_of
from .output import VideoOutput
from .request import MOST_FRAMES, EncodedPrompts, Request, foreseeable, parse_steps, place, prepare
from .session import Run, open_run
from .start_state import StoryState

__all__ = [
    "CUSTOM",
    "CUSTOM_VALUES",
    "MEMORY_OPTIONS",
    "MOST_FRAMES",
    "RUNNING",
    "EncodedPrompts",
    "Request",
    "Run",
    "StoryState",
    "VideoOutput",
    "foreseeable",
    "memory_from_widgets",
    "memory_of",
    "open_run",
    "parse_steps",
    "place",
    "prepare",
]
