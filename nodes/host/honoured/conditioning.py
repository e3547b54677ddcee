"""What stands on a CONDITIONING beside its embedding, and what of it a stream uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from comfy.hooks import HookGroup
from torch import Tensor

from .findings import UNUSED, Finding, one_a_node
from .weights import WeightHooks, read_hooks

# what every text encoder adds, and no Wan model reads
_IDLE = {"pooled_output", "attention_mask"}
# values with which an option asks for nothing
_NEUTRAL: dict[str, Any] = {
    "strength": 1.0,
    "start_percent": 0.0,
    "end_percent": 1.0,
    "clip_start_percent": 0.0,
    "clip_end_percent": 1.0,
    "control_apply_to_uncond": True,
}
_START = "a start image or a control video"
_REFERENCE = "reference pictures"
_SPEECH = "sound for a speech model"
# pictures, sound and motion that a prompt brings along: without them the video would be another one
_REFUSED = {
    "concat_latent_image": _START,
    "concat_mask": _START,
    "concat_mask_index": _START,
    "clip_vision_output": "a picture read by CLIP Vision",
    "clip_vision_outputs": "pictures read by CLIP Vision",
    "unclip_conditioning": "a picture read by CLIP Vision",
    "vace_frames": "a control video for VACE",
    "vace_mask": "a control video for VACE",
    "control": "a ControlNet",
    "control_video": "a control video",
    "camera_conditions": "a camera path",
    "pose_video_latent": "a pose video",
    "face_video_pixels": "a face video",
    "driving_mask_28ch": "a driving mask",
    "ref_mask_28ch": _REFERENCE,
    "reference_latents": _REFERENCE,
    "reference_motion": "a reference motion",
    "context_latents": _REFERENCE,
    "time_dim_concat": _REFERENCE,
    "audio_embed": _SPEECH,
    "ref_audio": _SPEECH,
    "minimax_refs": _REFERENCE,
    "gligen": "boxes for GLIGEN",
}
_PICTURE_DIMENSIONS = 4
# options that have no more than one meaning, by the nodes that set them
_NODES = {
    "area": "Conditioning (Set Area)",
    "strength": "Conditioning (Set Area Strength)",
    "mask": "Conditioning (Set Mask)",
    "mask_strength": "Conditioning (Set Mask)",
    "set_area_to_bounds": "Conditioning (Set Mask)",
    "start_percent": "ConditioningSetTimestepRange",
    "end_percent": "ConditioningSetTimestepRange",
    "clip_start_percent": "Set CLIP Hooks",
    "clip_end_percent": "Set CLIP Hooks",
    "guidance": "FluxGuidance",
    "default": "Cond Set Default Combine",
    "reference_latents_method": "FluxKontextMultiReferenceLatentMethod",
}


@dataclass(frozen=True)
class Spoken:
    """One prompt, as a stream takes it.

    embedding  [1, length, text_dim].
    hooks      weights that the model has under it; None: its own.
    unused     what else it carries.
    """

    embedding: Tensor
    hooks: WeightHooks | None = None
    unused: tuple[Finding, ...] = ()


def read_conditioning(conditioning: Any) -> Spoken:
    """The one prompt of a `CONDITIONING`.

    Raises ValueError if it holds none or several, or one that is no [1, length, width] of numbers, or brings pictures,
    sound or control along that a stream has no use for.
    """
    if not isinstance(conditioning, (list, tuple)):
        raise ValueError(f"the conditioning is no list, but {_kind(conditioning)}: connect a CLIP Text Encode.")
    if len(conditioning) != 1:
        raise ValueError(
            f"the conditioning holds {len(conditioning)} entries, but a segment takes exactly one: "
            f"connect a single CLIP Text Encode, without combining."
        )
    embedding, options = _parts(conditioning[0])
    _check_embedding(embedding)
    asked = {name: value for name, value in options.items() if _asks(name, value)}
    for name, value in asked.items():
        _check(name, value)
    group = asked.pop("hooks", None)
    if group is not None and not isinstance(group, HookGroup):
        raise ValueError(f"the conditioning's hooks are no group of hooks, but {_kind(group)}: take them out.")
    hooks, found = read_hooks(group)
    return Spoken(embedding, hooks, one_a_node((*found, *_unused(asked))))


def _parts(entry: Any) -> tuple[Any, Mapping[str, Any]]:
    """Embedding and options of an entry, which may lack options."""
    if not isinstance(entry, (list, tuple)) or not entry:
        raise ValueError(f"the conditioning's entry is no pair, but {_kind(entry)}: connect a CLIP Text Encode.")
    options = entry[1] if len(entry) > 1 and entry[1] is not None else {}
    if not isinstance(options, Mapping):
        raise ValueError(f"the conditioning's options are {_kind(options)}: connect a CLIP Text Encode.")
    return entry[0], options


def _check_embedding(embedding: Any) -> None:
    if not isinstance(embedding, Tensor):
        raise ValueError("the conditioning holds no text embedding: connect a CLIP Text Encode.")
    wrong = None
    if embedding.ndim != 3 or not embedding.shape[1]:
        wrong = f"has the shape {list(embedding.shape)}, but a prompt's is [1, length, width]"
    elif not embedding.is_floating_point():
        wrong = f"holds {str(embedding.dtype).removeprefix('torch.')} numbers, but a prompt's are floating point"
    elif embedding.itemsize == 1:
        wrong = f"holds {str(embedding.dtype).removeprefix('torch.')} numbers, but a prompt's have 16 bits or more"
    elif embedding.layout != torch.strided:
        wrong = "is sparse, but a prompt's is not"
    elif embedding.is_meta:
        wrong = "has a shape, but holds no numbers"
    if wrong:
        raise ValueError(f"the conditioning's embedding {wrong}: connect a CLIP Text Encode.")


def _kind(value: Any) -> str:
    """What a value is, in words."""
    return "nothing" if value is None else f"a value of the kind {type(value).__name__}"


def _asks(name: str, value: Any) -> bool:
    if name in _IDLE or value is None or value is False:
        return False
    return isinstance(value, Tensor) or name not in _NEUTRAL or value != _NEUTRAL[name]


def _check(name: str, value: Any) -> None:
    carried = _REFUSED.get(name) or ("pictures or latents" if _holds_pictures(value) else None)
    if carried is not None:
        raise ValueError(
            f"the conditioning carries {carried} ({name}), which a stream cannot follow: connect the prompt alone; a "
            f"story begins with pictures through MemFlow Start Images, and knows others through MemFlow Remember "
            f"Images."
        )


def _holds_pictures(value: Any) -> bool:
    """Whether a value is, or lists, tensors with as many dimensions as pictures and latents have."""
    if isinstance(value, Tensor):
        return value.ndim >= _PICTURE_DIMENSIONS
    if isinstance(value, dict):
        return any(_holds_pictures(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(_holds_pictures(item) for item in value)


def _unused(asked: dict[str, Any]) -> Iterator[Finding]:
    for name in asked:
        # the strength of a prompt in an area is the area's
        node = "Conditioning (Set Area)" if name == "strength" and "area" in asked else _NODES.get(name)
        yield Finding(UNUSED, name, node)
