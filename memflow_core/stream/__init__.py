"""The chunk loop: denoise, context pass, recache, prefill."""

from .chunk import Chunk, ForwardPass
from .control import CONTROL, ChunkControl, ControlPart, ControlSource
from .control_track import (
    CLIPS,
    INACTIVE,
    REACTIVE,
    REMADE,
    ClipEncoder,
    ControlPictures,
    ControlSpan,
    ControlTrack,
    fold_mask,
)
from .denoise import denoising_timesteps
from .flow import FlowSchedule
from .moments import keys_alone
from .noise import Draw, Noise, SeededNoise
from .prefill import FIRST_PICTURE, EncodedImages, InitialFrames, load_initial_frames
from .progress import Progress
from .prompt import Prompt, PromptChange, TextBlend, change_arguments
from .stream import Stream

__all__ = [
    "CLIPS",
    "CONTROL",
    "FIRST_PICTURE",
    "INACTIVE",
    "REACTIVE",
    "REMADE",
    "Chunk",
    "ChunkControl",
    "ClipEncoder",
    "ControlPart",
    "ControlPictures",
    "ControlSource",
    "ControlSpan",
    "ControlTrack",
    "Draw",
    "EncodedImages",
    "FlowSchedule",
    "ForwardPass",
    "InitialFrames",
    "Noise",
    "Progress",
    "Prompt",
    "PromptChange",
    "SeededNoise",
    "Stream",
    "TextBlend",
    "change_arguments",
    "denoising_timesteps",
    "fold_mask",
    "keys_alone",
    "load_initial_frames",
]
