"""The chunk loop: denoise, context pass, recache, prefill."""

from .chunk import Chunk, ForwardPass
from .flow import FlowSchedule, denoising_timesteps
from .moments import keys_alone
from .noise import Draw, Noise, SeededNoise
from .prefill import FIRST_PICTURE, EncodedImages, InitialFrames, load_initial_frames
from .progress import Progress
from .prompt import Prompt, PromptChange, TextBlend, change_arguments
from .stream import Stream

__all__ = [
    "FIRST_PICTURE",
    "Chunk",
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
    "keys_alone",
    "load_initial_frames",
]
