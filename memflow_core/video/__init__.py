"""Frames and sound to a video file that survives a crash."""

from .audio import Sound
from .encoder import choose_codec
from .pixels import NAN, LeavingFrames, eight_bits
from .stages import Pipeline
from .writer import VideoWriter

__all__ = ["LeavingFrames", "NAN", "Pipeline", "Sound", "VideoWriter", "choose_codec", "eight_bits"]
