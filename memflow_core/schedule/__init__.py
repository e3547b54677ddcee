"""Prompts over time: read a schedule, place it on chunks, write it back. Standard library only."""

from .errors import ScheduleError, shorten, show
from .formats import read_schedule, read_story
from .grid import ChunkGrid
from .limits import MOST_CHARACTERS, MOST_LINES, MOST_SEGMENTS
from .lora import Lora
from .notes import Note
from .plan import PlacedPin, PlacedSegment, Plan
from .reach import changes_of, farthest_position
from .scene_lines import from_scene_line, is_scene_line
from .schedule import Blend, Pin, PromptSchedule, Segment
from .stretches import PlacedStretch, Stretch, place_stretches
from .time import Time, format_time, parse_time
from .write import to_text

__all__ = [
    "MOST_CHARACTERS",
    "MOST_LINES",
    "MOST_SEGMENTS",
    "Blend",
    "ChunkGrid",
    "Lora",
    "Note",
    "Pin",
    "PlacedPin",
    "PlacedSegment",
    "PlacedStretch",
    "Plan",
    "PromptSchedule",
    "ScheduleError",
    "Segment",
    "Stretch",
    "Time",
    "changes_of",
    "farthest_position",
    "format_time",
    "from_scene_line",
    "is_scene_line",
    "parse_time",
    "place_stretches",
    "read_schedule",
    "read_story",
    "shorten",
    "show",
    "to_text",
]
