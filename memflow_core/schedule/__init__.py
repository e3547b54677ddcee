"""Prompts over time: read a schedule, place it on chunks, write it back. Standard library only."""

from .errors import ScheduleError, shorten, show
from .formats import read_schedule
from .grid import ChunkGrid
from .plan import PlacedPin, PlacedSegment, Plan
from .schedule import Blend, Pin, PromptSchedule, Segment
from .text import to_text
from .time import Time, format_time, parse_time

__all__ = [
    "Blend",
    "ChunkGrid",
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
    "shorten",
    "show",
    "to_text",
]
