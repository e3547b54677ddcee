"""One run of a sampling node: its request, session, live control, events and output, and the state between runs."""

from .live import RUNNING
from .memory_settings import CUSTOM, CUSTOM_VALUES, MEMORY_OPTIONS, memory_from_widgets, memory_of
from .output import sound_of, video_writer, write_video
from .pictures import remember_pictures, start_from_pictures
from .request import MOST_FRAMES, EncodedPrompts, Request, foreseeable, parse_steps, place, prepare
from .session import Run, open_run
from .start_state import StoryState
from .state_files import load_state, save_state

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
    "foreseeable",
    "load_state",
    "memory_from_widgets",
    "memory_of",
    "open_run",
    "parse_steps",
    "place",
    "prepare",
    "remember_pictures",
    "save_state",
    "sound_of",
    "start_from_pictures",
    "video_writer",
    "write_video",
]
