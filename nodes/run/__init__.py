"""One run of a sampling node: request, plan, session, live control, output, events."""

from .output import Film
from .request import MOST_FRAMES, Request, foreseeable, parse_steps, place, prepare
from .session import Story, story
from .start_state import Schedule, StoryState

__all__ = [
    "Film",
    "MOST_FRAMES",
    "Request",
    "Schedule",
    "Story",
    "StoryState",
    "foreseeable",
    "parse_steps",
    "place",
    "prepare",
    "story",
]
