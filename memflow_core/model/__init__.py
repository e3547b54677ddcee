"""The Wan 2.1 layout and one forward through it: patches, blocks, RoPE, head."""

from . import fp8
from .backbone import Attend, Backbone, Compiler, TimestepModulation, WeightSets, sdpa, sinusoid
from .block import (
    AttentionBackend,
    CrossAttention,
    OwnCrossAttention,
    PassListener,
    TextKV,
    post_attention,
    pre_attention,
    project_kv,
)
from .functional import Modulation, replaced_forward, widest
from .heads import AllHeads, HeadShare
from .rope import THETA, Rope, Rotation
from .sizes import ModelSize, fp8_bytes_of, weights_of
from .tree import WanTree
from .wan import WanModel

__all__ = [
    "THETA",
    "AllHeads",
    "Attend",
    "AttentionBackend",
    "Backbone",
    "Compiler",
    "CrossAttention",
    "HeadShare",
    "ModelSize",
    "Modulation",
    "OwnCrossAttention",
    "PassListener",
    "Rope",
    "Rotation",
    "TextKV",
    "TimestepModulation",
    "WanModel",
    "WanTree",
    "WeightSets",
    "fp8",
    "fp8_bytes_of",
    "post_attention",
    "pre_attention",
    "project_kv",
    "replaced_forward",
    "sdpa",
    "sinusoid",
    "weights_of",
    "widest",
]
