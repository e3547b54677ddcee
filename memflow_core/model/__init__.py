"""The Wan 2.1 layout and one forward through it: patches, blocks, RoPE, head."""

from . import fp8
from .backbone import Attend, Backbone, Compiler, TimestepModulation, sdpa, sinusoid
from .block import AttentionBackend, TextKV, post_attention, pre_attention, project_kv
from .functional import widest
from .rope import THETA, Rope, Rotation
from .sizes import ModelSize, fp8_bytes_of, weights_of
from .tree import WanTree
from .wan import WanModel

__all__ = [
    "THETA",
    "Attend",
    "AttentionBackend",
    "Backbone",
    "Compiler",
    "ModelSize",
    "Rope",
    "Rotation",
    "TextKV",
    "TimestepModulation",
    "WanModel",
    "WanTree",
    "fp8",
    "fp8_bytes_of",
    "post_attention",
    "pre_attention",
    "project_kv",
    "sdpa",
    "sinusoid",
    "weights_of",
    "widest",
]
