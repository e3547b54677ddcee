"""The Wan 2.1 layout and one forward through it: patches, blocks, RoPE, head."""

from . import fp8
from .backbone import Attend, Backbone, Compiler, sdpa, sinusoid
from .block import AttentionBackend, TextKV
from .functional import widest
from .rope import THETA, Rope, Rotation
from .tree import WanTree
from .wan import WanModel

__all__ = [
    "THETA",
    "Attend",
    "AttentionBackend",
    "Backbone",
    "Compiler",
    "Rope",
    "Rotation",
    "TextKV",
    "WanModel",
    "WanTree",
    "fp8",
    "sdpa",
    "sinusoid",
    "widest",
]
