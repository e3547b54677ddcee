"""One run of a sampling node: request, plan, session, live control, output, events."""

from .output import VideoOutput
from .request import MOST_FRAMES, EncodedPrompts, Request, foreseeable, parse_steps, place, prepare
from .session import Run, open_run
from .start_state import StoryState

__all__ = [
    "VideoOutput",
    "MOST_FRAMES",
    "Request",
    "EncodedPrompts",
    "Run",
    "StoryState",
    "foreseeable",
    "parse_steps",
    "place",
    "prepare",
    "open_run",
]
