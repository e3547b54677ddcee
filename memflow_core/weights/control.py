"""Read control weights: the VACE part of a Wan model, from a file of its own or from a whole VACE model's.

    vace_patch_embedding.weight, vace_blocks.0.before_proj.weight, vace_blocks.0.self_attn.q.weight ...

Prefixes and groups of files are those of generators. Of a whole model the control part alone is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..config import ModelConfig
from ..model import WanControl, check_control
from .detect import other_kind
from .files import FLOATS, check_finite, join_names, read_checkpoint
from .generator import QUANTISED, choose_group, plain_keys

PREFIX = "vace_"
_DIFFUSERS = re.compile(r"^vace_blocks\.\d+\.(?:attn1\.|proj_out\.|ffn\.net\.)")
_BLOCK = re.compile(r"^vace_blocks\.(\d+)\.")
# weights whose shapes give the branch's sizes, and how many dimensions each has
_SIZE_KEYS = {"vace_patch_embedding.weight": 5, "vace_blocks.0.ffn.0.weight": 2}


@dataclass(frozen=True)
class ControlWeights:
    """Control weights as read from a file.

    state_dict  in the keys of the VACE files, in the file's dtypes.
    blocks      control blocks.
    dim         their width.
    ffn_dim     width of their feed-forward.
    channels    of a control's context.
    """

    state_dict: dict[str, Tensor]
    blocks: int
    dim: int
    ffn_dim: int
    channels: int

    def check_fits(self, *, layers: int, dim: int, channels: int) -> None:
        """Raise ValueError unless they fit a main model of such sizes. channels: of its latents."""
        check_control(blocks=self.blocks, width=self.dim, channels=self.channels, layers=layers, dim=dim, of=channels)

    def tree(self, heads: int) -> WanControl:
        """Modules of these sizes, on the meta device: without numbers."""
        config = ModelConfig(self.dim, heads, self.blocks, self.ffn_dim, text_dim=self.dim)
        with torch.device("meta"):
            return WanControl(config, self.blocks, self.channels)


def read_control(path: str | Path) -> ControlWeights:
    """Read control weights from a .safetensors or .pt file, and check that they are whole.

    Raises FileNotFoundError; ValueError for a file of another kind, or one that is incomplete or damaged.
    """
    checkpoint = read_checkpoint(path)
    name = checkpoint.path.name
    _, chosen = choose_group(checkpoint, "auto", averaged=False)
    plain = plain_keys(name, chosen)
    state_dict = {key: tensor for key, tensor in plain.items() if key.startswith(PREFIX)}
    _check_kind(name, plain, state_dict)
    weights = _sized(name, state_dict)
    _check_whole(name, weights)
    check_finite(name, state_dict)
    return weights


def _check_kind(name: str, plain: Mapping[str, Tensor], control: Mapping[str, Tensor]) -> None:
    if not plain:
        raise ValueError(f"{name} holds no tensors.")
    if any(_DIFFUSERS.match(key) for key in control):
        raise ValueError(f"{name} is a VACE model in diffusers layout: use the file in Wan's own or ComfyUI's layout.")
    if not control:
        kind = other_kind(plain)
        found = kind or f"has no control part: it holds {join_names(list(plain))}; use a VACE module or a VACE model."
        raise ValueError(f"{name} {found}" if kind is None else f"{name}, as control weights, will not do: it {found}")
    for key, tensor in control.items():
        if QUANTISED.search(key) or tensor.dtype not in FLOATS:
            kept = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(
                f"{name} is quantised ({key} is {kept}): use control weights in bf16, fp16 or fp32, which take 1.5 GB "
                f"for a 1.3B model."
            )


def _sized(name: str, state_dict: dict[str, Tensor]) -> ControlWeights:
    missing = [key for key in _SIZE_KEYS if key not in state_dict]
    if missing:
        raise ValueError(f"{name} has no whole control part: missing {join_names(missing)}.")
    for key, ndim in _SIZE_KEYS.items():
        shape = list(state_dict[key].shape)
        if len(shape) != ndim or 0 in shape:
            raise ValueError(
                f"{name} does not fit together: {key} has shape {shape}, but must have {ndim} dimensions, none 0."
            )
    dim, channels, *patch = state_dict["vace_patch_embedding.weight"].shape
    if patch != [1, 2, 2]:
        raise ValueError(f"{name} has patches of {patch}, but only [1, 2, 2] is supported.")
    # counted, since a hostile file may give its last block any number
    blocks = len({match[1] for key in state_dict if (match := _BLOCK.match(key))})
    return ControlWeights(state_dict, blocks, dim, state_dict["vace_blocks.0.ffn.0.weight"].shape[0], channels)


def _check_whole(name: str, weights: ControlWeights) -> None:
    """Raise ValueError unless keys and shapes are exactly those of a `WanControl` of these sizes."""
    # heads are in no shape
    expected = {key: tensor.shape for key, tensor in weights.tree(heads=1).state_dict().items()}
    missing = [key for key in expected if key not in weights.state_dict]
    if missing:
        raise ValueError(f"{name} has no whole control part: missing {join_names(missing)}.")
    unknown = [key for key in weights.state_dict if key not in expected]
    if unknown:
        raise ValueError(f"{name} has no control part of Wan 2.1's kind: it also holds {join_names(unknown)}.")
    for key, shape in expected.items():
        if weights.state_dict[key].shape != shape:
            raise ValueError(
                f"{name} does not fit together: {key} has shape {list(weights.state_dict[key].shape)}, but the rest "
                f"of the file makes it {list(shape)}."
            )
