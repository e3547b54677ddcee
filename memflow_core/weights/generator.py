"""Read a generator's weights: every checkpoint dialect in, the key layout of the Wan 2.1 files out.

Dialects, where `<key>` is a key of the Wan 2.1 files, such as `blocks.0.self_attn.q.weight`:

    generator.model.<key>                 published checkpoints of MemFlow, LongLive, Self-Forcing, Causal Forcing
    generator_ema.model.<key>             their running average (EMA), with FSDP's `_fsdp_wrapped_module.` in the keys
    model.<key>, state_dict.model.<key>   other training checkpoints
    [model.]diffusion_model.<key>         ComfyUI
    <key>                                 Wan 2.1
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..config import ModelConfig
from ..model import WanModel
from .detect import is_wan, other_kind, other_wan
from .files import FLOATS, Checkpoint, check_finite, join_names, read_checkpoint, strip_wrappers

# top-level names under which checkpoints keep a model; `auto` takes the first that a file has
GROUPS = ("generator", "generator_ema", "model", "diffusion_model", "state_dict")
WHICH = ("auto", "generator", "generator_ema", "model")
WAN_HEAD_DIM = 128

# weights whose shapes give the model's sizes, and how many dimensions each has
_SIZE_KEYS = {
    "patch_embedding.weight": 5,
    "text_embedding.0.weight": 2,
    "time_embedding.0.weight": 2,
    "blocks.0.ffn.0.weight": 2,
    "head.head.weight": 2,
}
_PREFIX = re.compile(r"^(?:(?:model|diffusion_model|module)\.)+")
QUANTISED = re.compile(r"(?:^|\.)(?:scaled_fp8|scale_weight|weight_scale|comfy_quant|quant_state|qweight)(?:$|\.)")
_WEIGHT_NAMES = (".weight", ".bias", ".modulation")


@dataclass(frozen=True)
class GeneratorWeights:
    """A generator as read from a file.

    state_dict  in plain Wan keys, in the file's dtypes.
    config      the sizes that follow from the weights' shapes.
    source      the group of the file that was read, one of GROUPS; empty for a file that holds one model alone.
    metadata    of a safetensors file.
    """

    state_dict: dict[str, Tensor]
    config: ModelConfig
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_generator(
    path: str | Path, which: str = "auto", num_heads: int | None = None, *, averaged: bool = False
) -> GeneratorWeights:
    """Read a generator from a .safetensors or .pt file of any dialect, and check that it is whole.

    which      `generator`, `generator_ema` (its running average) or `model` of a training checkpoint; `auto` takes
               the first of GROUPS that the file has, the generator before its average.
    averaged   whether `auto` takes the running average before the generator, where a file has both.
    num_heads  needed for heads that are not 128 wide, unless the file has it (in `config` of a safetensors file's
               metadata, as ComfyUI reads it).

    Raises FileNotFoundError; ValueError for a file of another kind, or one that is incomplete or damaged.
    """
    if which not in WHICH:
        raise ValueError(f"which is {which!r}, but must be one of {', '.join(WHICH)}.")
    checkpoint = read_checkpoint(path)
    name = checkpoint.path.name
    source, chosen = choose_group(checkpoint, which, averaged)
    state_dict = plain_keys(name, chosen)
    _check_kind(name, state_dict)
    config = _infer_config(checkpoint, state_dict, num_heads)
    _check_whole(name, state_dict, config)
    check_finite(name, state_dict)
    return GeneratorWeights(state_dict, config, source, checkpoint.metadata)


def plain_keys(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip the prefixes and infixes of wrappers from keys. Raises ValueError if two keys become the same."""
    plain: dict[str, Tensor] = {}
    for key, tensor in state_dict.items():
        bare = strip_wrappers(key, _PREFIX)
        if bare in plain:
            raise ValueError(f"{name} holds {bare} twice: {key!r} is the second.")
        plain[bare] = tensor
    return plain


def choose_group(checkpoint: Checkpoint, which: str, averaged: bool) -> tuple[str, Mapping[str, Tensor]]:
    """(group, its tensors without the group's name) as `which` asks; ("", all tensors) of a file without groups."""
    wanted = (*(["generator_ema"] if averaged else []), *GROUPS) if which == "auto" else (which,)
    for group in wanted:
        members = {
            key.removeprefix(f"{group}."): tensor
            for key, tensor in checkpoint.tensors.items()
            if key.startswith(f"{group}.")
        }
        if members:
            return group, members
    if which == "auto":
        return "", checkpoint.tensors
    found = join_names(sorted({key.split(".")[0] for key in checkpoint.tensors})) or "no tensors"
    raise ValueError(f"{checkpoint.path.name} has no {which}: it holds {found}; choose auto.")


def _check_kind(name: str, state_dict: Mapping[str, Tensor]) -> None:
    if not state_dict:
        raise ValueError(f"{name} holds no tensors.")
    kind = other_kind(state_dict)
    if kind is not None:
        raise ValueError(f"{name} {kind}")
    if not is_wan(state_dict):
        raise ValueError(f"{name} is not a Wan model: it holds {join_names(list(state_dict))}.")
    for key, tensor in state_dict.items():
        if QUANTISED.search(key) or (key.endswith(_WEIGHT_NAMES) and tensor.dtype not in FLOATS):
            kept = "" if tensor.dtype in FLOATS else f" to {str(tensor.dtype).removeprefix('torch.')}"
            raise ValueError(
                f"{name} is quantised{kept} ({key}): load it with ComfyUI's Load Diffusion Model, whose "
                "MODEL works in the sampler."
            )


def _infer_config(checkpoint: Checkpoint, state_dict: Mapping[str, Tensor], num_heads: int | None) -> ModelConfig:
    name = checkpoint.path.name
    shapes = _size_shapes(name, state_dict)
    dim, in_channels, *patch = shapes["patch_embedding.weight"]
    out_channels = shapes["head.head.weight"][0] // 4
    other = other_wan(state_dict, dim, in_channels, out_channels)
    if other is not None:
        raise ValueError(f"{name} {other}")
    if patch != [1, 2, 2]:
        raise ValueError(f"{name} has patches of {patch}, but only [1, 2, 2] is supported.")
    heads = _metadata_heads(checkpoint) if num_heads is None else num_heads
    return ModelConfig(
        dim=dim,
        num_heads=_heads_of_width(name, dim) if heads is None else heads,
        # counted, since a hostile file may give its last block any number
        num_layers=len({key.split(".")[1] for key in state_dict if re.match(r"blocks\.\d+\.", key)}),
        ffn_dim=shapes["blocks.0.ffn.0.weight"][0],
        text_dim=shapes["text_embedding.0.weight"][1],
        freq_dim=shapes["time_embedding.0.weight"][1],
        in_channels=in_channels,
        out_channels=out_channels,
    )


def _size_shapes(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    _check_missing(name, [key for key in _SIZE_KEYS if key not in state_dict])
    for key, ndim in _SIZE_KEYS.items():
        if state_dict[key].ndim != ndim:
            raise ValueError(
                f"{name} does not fit together: {key} has shape {list(state_dict[key].shape)}, but must have "
                f"{ndim} dimensions."
            )
    return {key: tuple(state_dict[key].shape) for key in _SIZE_KEYS}


def _heads_of_width(name: str, dim: int) -> int:
    if dim % WAN_HEAD_DIM:
        raise ValueError(
            f"{name} is {dim} wide, which is no multiple of Wan's {WAN_HEAD_DIM} per head: say how many "
            "heads it has (num_heads)."
        )
    return dim // WAN_HEAD_DIM


def _metadata_heads(checkpoint: Checkpoint) -> int | None:
    """num_heads in the `config` of a safetensors file's metadata, where ComfyUI looks too: shapes do not show it."""
    try:
        return json.loads(checkpoint.metadata.get("config", "{}")).get("transformer", {}).get("num_heads")
    except (ValueError, RecursionError, AttributeError) as error:
        raise ValueError(f"{checkpoint.path.name} has a `config` in its metadata that is not a JSON object.") from error


def _check_missing(name: str, missing: list[str]) -> None:
    if missing:
        raise ValueError(f"{name} is not a whole Wan model: missing {join_names(missing)}.")


def _check_whole(name: str, state_dict: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Raise ValueError unless keys and shapes are exactly those of a `WanModel` of these sizes."""
    with torch.device("meta"):
        expected = {key: tensor.shape for key, tensor in WanModel(config).state_dict().items()}
    _check_missing(name, [key for key in expected if key not in state_dict])
    unknown = [key for key in state_dict if key not in expected]
    if unknown:
        raise ValueError(f"{name} is no Wan 2.1 text-to-video model: it also holds {join_names(unknown)}.")
    for key, shape in expected.items():
        if state_dict[key].shape != shape:
            raise ValueError(
                f"{name} does not fit together: {key} has shape {list(state_dict[key].shape)}, but the rest "
                f"of the file makes it {list(shape)}."
            )
