"""Prompts over time: read a schedule, place it on chunks, write it back. Standard library only."""

from .errors import ScheduleError, shorten, show
from .formats import read_schedule, read_story
from .grid import ChunkGrid
from .limits import MOST_CHARACTERS, MOST_LINES, MOST_SEGMENTS
from .notes import Note
from .plan import PlacedPin, PlacedSegment, Plan
from .schedule import Blend, Pin, PromptSchedule, Segment
from .time import Time, format_time, parse_time
from .write import to_text

__all__ = [
    "MOST_CHARACTERS",
    "MOST_LINES",
    "MOST_SEGMENTS",
    "Blend",
    "ChunkGrid",
    "Note",
    "Pin",
    "PlacedPin",
    "PlacedSegment",
    "Plan",
    "PromptSchedule",
    "ScheduleError",
    "Segment",
    "Time",
    "format_time",
    "parse_time",
    "read_schedule",
    "read_story",
    "shorten",
    "show",
    "to_text",
]
