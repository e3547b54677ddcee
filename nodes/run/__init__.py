"""One run of a sampling node: its request, session, live control, events and output, and the state between runs."""

from .control_plan import MOST_STRENGTH, USES, PlannedControl, check_plan, check_use, controls_json, stretch_of
from .controls import Controls, add_control
from .estimate import MODELS, TINY, USUAL, estimate_usual, usual_model
from .film_formats import FORMATS, QUALITIES
from .graphs import is_link, node_of
from .kept import KeptStory
from .kept_before import GraphStory, graph_story, kept_json
from .known import known_by
from .live import RUNNING
from .memory_settings import (
    ALL_LAYERS,
    ARCHIVE_GB_VALUES,
    CUSTOM,
    CUSTOM_VALUES,
    MEMORY_OPTIONS,
    OWN,
    SHARED_DEFAULTS,
    SHARED_VALUES,
    memory_from_widgets,
    memory_of,
)
from .output import sound_of, video_writer, write_video
from .pictures import remember_pictures, start_from_pictures
from .plan_text import note_message, note_messages, plan_json, tiny_size_messages
from .presets import PRESETS, REASONS, memory_words
from .profile_text import doubt, profile_lines, told_of_auto, told_of_memory, told_of_profile, told_of_segments
from .request import MOST_FRAMES, EncodedPrompts, PlanRequest, Request, place, prepare
from .segments import add_segment, segment_prompt
from .session import Run, open_run
from .start_state import StoryState
from .state_files import load_state, save_state
from .steps import count_message, parse_steps
from .takes import NoSuchTakeError, TakeFilms, delete_story, delete_takes, take_by_id, takes_json

__all__ = [
    "ALL_LAYERS",
    "ARCHIVE_GB_VALUES",
    "CUSTOM",
    "CUSTOM_VALUES",
    "FORMATS",
    "MEMORY_OPTIONS",
    "MODELS",
    "MOST_FRAMES",
    "MOST_STRENGTH",
    "OWN",
    "PRESETS",
    "QUALITIES",
    "REASONS",
    "RUNNING",
    "SHARED_DEFAULTS",
    "SHARED_VALUES",
    "TINY",
    "USES",
    "USUAL",
    "Controls",
    "EncodedPrompts",
    "GraphStory",
    "KeptStory",
    "NoSuchTakeError",
    "PlanRequest",
    "PlannedControl",
    "Request",
    "Run",
    "StoryState",
    "TakeFilms",
    "add_control",
    "add_segment",
    "check_plan",
    "check_use",
    "controls_json",
    "count_message",
    "delete_story",
    "delete_takes",
    "doubt",
    "estimate_usual",
    "graph_story",
    "is_link",
    "kept_json",
    "known_by",
    "load_state",
    "memory_from_widgets",
    "memory_of",
    "memory_words",
    "node_of",
    "note_message",
    "note_messages",
    "open_run",
    "parse_steps",
    "place",
    "plan_json",
    "prepare",
    "profile_lines",
    "remember_pictures",
    "save_state",
    "segment_prompt",
    "sound_of",
    "start_from_pictures",
    "stretch_of",
    "take_by_id",
    "takes_json",
    "tiny_size_messages",
    "told_of_auto",
    "told_of_memory",
    "told_of_profile",
    "told_of_segments",
    "usual_model",
    "video_writer",
    "write_video",
]
