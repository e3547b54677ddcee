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
from .control import (
    MASK_SIDE,
    ControlBranch,
    ControlInput,
    ControlPass,
    ControlTree,
    WanControl,
    check_control,
    control_channels,
)
from .functional import Modulation, replaced_forward, widest
from .heads import AllHeads, HeadShare
from .rope import THETA, Rope, Rotation
from .sizes import ModelSize, control_weights_of, fp8_bytes_of, weights_of
from .tree import WanTree
from .wan import WanModel

__all__ = [
    "MASK_SIDE",
    "THETA",
    "AllHeads",
    "Attend",
    "AttentionBackend",
    "Backbone",
    "Compiler",
    "ControlBranch",
    "ControlInput",
    "ControlPass",
    "ControlTree",
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
    "WanControl",
    "WanModel",
    "WanTree",
    "WeightSets",
    "check_control",
    "control_channels",
    "control_weights_of",
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
