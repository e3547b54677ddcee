"""The Wan layout and one forward pass through it."""

from . import fp8
from .backbone import Attend, Backbone, Compiler, sdpa, sinusoid
from .block import AttentionBackend, TextKV
from .functional import widest
from .rope import THETA, Rope, Rotation
from .wan import WanModel

__all__ = [
    "Attend",
    "AttentionBackend",
    "Backbone",
    "Compiler",
    "Rope",
    "Rotation",
    "THETA",
    "TextKV",
    "WanModel",
    "fp8",
    "sdpa",
    "sinusoid",
    "widest",
]
