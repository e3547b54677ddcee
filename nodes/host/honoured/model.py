"""What stands on a MODEL beside its weights, and what of it a stream uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from comfy.model_sampling import CONST
from comfy.patcher_extension import CallbacksMP
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY, TORCH_COMPILE_KWARGS

from ....memflow_core.model import WanTree
from ....memflow_core.profiles import Picked
from ....memflow_core.stream import FlowSchedule
from .code import uncalled_code
from .findings import INSERTED, UNUSED, Finding, node_behind, one_a_node, unused_at
from .patches import misfit_patches
from .tree import tree_to_load

ATTENTION_OVERRIDE = "optimized_attention_override"
TRANSFORMER_OPTIONS = "transformer_options"

# parts of the tree that a stream calls, or reads; `forward` of cross-attention is called where it was replaced
_WHOLE = r"(\..+)?"
USED_OBJECTS = re.compile(
    r"manual_cast_dtype"
    rf"|diffusion_model\.(patch_embedding|text_embedding|time_embedding|time_projection){_WHOLE}"
    rf"|diffusion_model\.head\.(head|modulation){_WHOLE}"
    rf"|diffusion_model\.blocks\.\d+\.(modulation|norm3|ffn|(self|cross)_attn\.(q|k|v|o|norm_q|norm_k)){_WHOLE}"
    r"|diffusion_model\.blocks\.\d+\.cross_attn\.forward"
)
# the key of control weights among the additional models of a `MODEL`
CONTROL = "memflow_control"
_USED_CALLBACKS = {
    CallbacksMP.ON_CLONE,
    CallbacksMP.ON_LOAD,
    CallbacksMP.ON_DETACH,
    CallbacksMP.ON_CLEANUP,
    CallbacksMP.ON_PRE_RUN,
    CallbacksMP.ON_INJECT_MODEL,
    CallbacksMP.ON_EJECT_MODEL,
    CallbacksMP.ON_APPLY_HOOKS,
    CallbacksMP.ON_REGISTER_ALL_HOOK_PATCHES,
}
# options whose values do not say which node they come from
_NODES = {
    "context_handler": "Context Windows",
    "multigpu": "MultiGPU CFG Split",
    "multigpu_options": "MultiGPU Options",
    "rope_options": "ScaleROPE",
}
_TELLING_NAMES = {"easycache": "EasyCache", "lazycache": "LazyCache"}


@dataclass(frozen=True)
class ModelFindings:
    """What a MODEL carries.

    shift       of a node such as ModelSamplingSD3; None where there is none.
    shift_node  that node.
    unused      what a stream makes nothing of.
    """

    shift: float | None
    shift_node: str
    unused: tuple[Finding, ...]


def inspect_model(model: Any) -> ModelFindings:
    """Look through a `MODEL`. Raises ValueError, naming the node or the part, for what cannot be streamed at all."""
    if "latent_format" in model.object_patches:
        raise ValueError(
            f"the model's latent format was changed to {type(model.object_patches['latent_format']).__name__}, but "
            f"MemFlow streams Wan 2.1's: take the node out that does so."
        )
    with tree_to_load(model) as tree:
        unused = one_a_node(_unused(model, tree))
    shift, shift_node = _shift(model)
    return ModelFindings(shift, shift_node, unused)


def _shift(model: Any) -> tuple[float | None, str]:
    """The shift of a node that replaced the model's sampling, and that node; None where there is none.

    Raises ValueError for a sampling that is not rectified flow with a shift.
    """
    patched = model.object_patches.get("model_sampling")
    if patched is None:
        return None, ""
    own = model.object_patches_backup.get("model_sampling", model.model.model_sampling)
    if not _is_shifted_flow(patched) or getattr(patched, "noise_scale", 1.0) != 1.0:
        raise ValueError(
            f"{_sampling_name(patched)} on the model asks for another sampling than a stream's, which is "
            f"rectified flow with a shift: take it out, or use ModelSamplingSD3."
        )
    # some nodes copy the model's own sampling with another setting, which may be the same again
    if type(patched) is type(own) and patched.shift == own.shift:
        return None, ""
    return float(patched.shift), _sampling_name(patched)


def _is_shifted_flow(sampling: Any) -> bool:
    """Whether a sampling object has the sigmas of rectified flow with its shift, as `FlowSchedule` has them."""
    shift, multiplier = getattr(sampling, "shift", None), getattr(sampling, "multiplier", None)
    if not isinstance(sampling, CONST) or not isinstance(shift, (int, float)) or multiplier is None or shift <= 0:
        return False
    expected = FlowSchedule(float(shift)).sigmas[::100]
    times = 1 - torch.arange(0, 1000, 100) / 1000
    return bool(torch.allclose(sampling.sigma(times * multiplier).float(), expected, atol=1e-4))


def _sampling_name(sampling: Any) -> str:
    """The node that a sampling came from; several share their code."""
    if getattr(sampling, "noise_scale", 1.0) != 1.0:
        return f"the noise scale {sampling.noise_scale:g}"
    node = node_behind(sampling) or type(sampling).__name__
    return "ModelSamplingAuraFlow" if node == "ModelSamplingSD3" and sampling.multiplier == 1 else node


def _unused(model: Any, tree: WanTree) -> Iterator[Finding]:
    options = dict(model.model_options)
    inner = options.pop(TRANSFORMER_OPTIONS, {})
    options.pop(TORCH_COMPILE_KWARGS, None)
    alone = options.pop("disable_cfg1_optimization", False)
    found = [
        *_leaves(options, ""),
        *_leaves({name: value for name, value in inner.items() if name not in (ATTENTION_OVERRIDE, "callbacks")}, ""),
        *_leaves({"wrappers": _without_compiler(model.wrappers)}, ""),
        *_leaves({"callbacks": _uncalled(model.callbacks)}, ""),
        *_leaves({"callbacks": _uncalled(inner.get("callbacks", {}))}, ""),
        *_leaves({"attachments": _foreign(model.attachments)}, ""),
        *_leaves({"additional_models": _others(model.additional_models)}, ""),
        *_objects(model),
        *misfit_patches(model),
        *uncalled_code(model.model, tree, USED_OBJECTS.fullmatch),
    ]
    yield from found
    yield from _leaves({"injections": model.injections}, "", INSERTED)
    if alone and not found:
        yield Finding(UNUSED, "disable_cfg1_optimization")


def _without_compiler(wrappers: Mapping[str, Mapping]) -> dict[str, dict]:
    return {kind: {key: v for key, v in keyed.items() if key != COMPILE_KEY} for kind, keyed in wrappers.items()}


def _foreign(attachments: Mapping[str, Any]) -> dict[str, Any]:
    """Attachments of others; that of this pack is a profile, which a stream uses."""
    return {name: value for name, value in attachments.items() if not isinstance(value, Picked)}


def _others(models: Mapping[str, Any]) -> dict[str, Any]:
    """Additional models but the control weights, which a stream uses or says that nothing does."""
    return {name: value for name, value in models.items() if name != CONTROL}


def _uncalled(callbacks: Mapping[str, Any]) -> dict[str, Any]:
    return {kind: keyed for kind, keyed in callbacks.items() if kind not in _USED_CALLBACKS}


def _leaves(value: Any, place: str, kind: str = UNUSED) -> Iterator[Finding]:
    """One finding for each option below a place; what is empty, off or neutral asks for nothing."""
    if value is None or value is False or _is_neutral(place, value):
        return
    if isinstance(value, Mapping) and not place.endswith("rope_options"):
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}.{_key(name)}".strip("."), kind)
    elif isinstance(value, (list, tuple)) and all(
        callable(item) or not isinstance(item, (int, float)) for item in value
    ):
        for item in value:
            yield Finding(kind, place, _node(place, item))
    else:
        yield Finding(kind, place, _node(place, value))


def _key(name: Any) -> str:
    """A key without its block's number; ComfyUI keeps what came without a key under None."""
    parts = name if isinstance(name, tuple) else (name,)
    return " ".join(str(part) for part in parts if part is not None and not isinstance(part, int))


def _is_neutral(place: str, value: Any) -> bool:
    """Whether positions are stretched by 1 and moved by 0."""
    if place != "rope_options" or not isinstance(value, Mapping):
        return False
    return all(number == (1 if name.startswith("scale") else 0) for name, number in value.items())


def _node(place: str, value: Any) -> str | None:
    parts = place.split(".")
    for part in parts:
        if part in _NODES:
            return _NODES[part]
    # caches say what they are
    name = getattr(value, "name", None)
    if isinstance(name, str) and name in _TELLING_NAMES.values():
        return name
    return next((_TELLING_NAMES[part] for part in parts if part in _TELLING_NAMES), None) or node_behind(value)


def _objects(model: Any) -> Iterator[Finding]:
    for place, value in model.object_patches.items():
        if place not in ("model_sampling", "latent_format") and not USED_OBJECTS.fullmatch(place):
            yield unused_at(place, value)
