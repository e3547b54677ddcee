"""One run of a sampling node: its request, session, live control, events and output, and the state between runs."""

from .estimate import MODELS, USUAL, estimate_usual, usual_model
from .live import RUNNING
from .memory_settings import (
    ALL_LAYERS,
    CUSTOM,
    CUSTOM_VALUES,
    MEMORY_OPTIONS,
    SHARED_VALUES,
    memory_from_widgets,
    memory_of,
)
from .output import sound_of, video_writer, write_video
from .pictures import remember_pictures, start_from_pictures
from .plan_text import note_message, note_messages, plan_json
from .presets import PRESETS, REASONS, memory_words
from .request import MOST_FRAMES, EncodedPrompts, PlanRequest, Request, place, prepare
from .segments import add_segment, segment_prompt
from .session import Run, open_run
from .start_state import StoryState
from .state_files import load_state, save_state
from .steps import count_message, parse_steps

__all__ = [
    "ALL_LAYERS",
    "CUSTOM",
    "CUSTOM_VALUES",
    "MEMORY_OPTIONS",
    "MODELS",
    "MOST_FRAMES",
    "PRESETS",
    "REASONS",
    "RUNNING",
    "SHARED_VALUES",
    "USUAL",
    "EncodedPrompts",
    "PlanRequest",
    "Request",
    "Run",
    "StoryState",
    "add_segment",
    "count_message",
    "estimate_usual",
    "load_state",
    "memory_from_widgets",
    "memory_of",
    "memory_words",
    "note_message",
    "note_messages",
    "open_run",
    "parse_steps",
    "place",
    "plan_json",
    "prepare",
    "remember_pictures",
    "save_state",
    "segment_prompt",
    "sound_of",
    "start_from_pictures",
    "usual_model",
    "video_writer",
    "write_video",
]
