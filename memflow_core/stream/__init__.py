"""The chunk loop: denoise, context pass, recache, prefill."""

from .chunk import Chunk, Forward
from .flow import FlowSchedule, denoising_timesteps
from .noise import Draw, Noise, SeededNoise
from .prefill import FIRST_PICTURE, Given, Pictures, keys_alone, take_given
from .prompt import PromptChange, TextBlend
from .stream import Stream

__all__ = [
    "Chunk",
    "Draw",
    "FIRST_PICTURE",
    "FlowSchedule",
    "Forward",
    "Given",
    "Noise",
    "Pictures",
    "PromptChange",
    "SeededNoise",
    "Stream",
    "TextBlend",
    "denoising_timesteps",
    "keys_alone",
    "take_given",
]
