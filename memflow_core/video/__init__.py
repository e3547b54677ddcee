"""Write video frames and sound to a file that survives a crash."""

from .audio import Sound
from .drift import DriftWatch
from .encoder import choose_codec
from .parts import FilmPart, PartPacket
from .peaks import Peaks, sound_peaks
from .pixels import PinnedFrames, round_colours, to_uint8
from .sound_track import lay_sound, read_sound
from .stages import Pipeline
from .writer import VideoWriter

__all__ = [
    "DriftWatch",
    "FilmPart",
    "PartPacket",
    "Peaks",
    "PinnedFrames",
    "Pipeline",
    "Sound",
    "VideoWriter",
    "choose_codec",
    "lay_sound",
    "read_sound",
    "round_colours",
    "sound_peaks",
    "to_uint8",
]
