"""Fingerprints of what stands on ComfyUI's links: a model with all that changes its numbers, a VAE, a state.

What cannot be told from another thing of its kind, such as code that a node put onto a model, has none.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import comfy.ldm.wan.model
import torch
from comfy.cli_args import args
from comfy.weight_adapter import WeightAdapterBase
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY, TORCH_COMPILE_KWARGS
from comfyui_version import __version__ as comfy_version
from torch import Tensor, nn

from ...memflow_core.keep import Fingerprint, fingerprint, machine_of
from .code_identity import UnknownKindError, describe_code, describe_modules
from .honoured.attention import has_override
from .honoured.findings import INSERTED
from .honoured.model import USED_OBJECTS, inspect_model
from .honoured.tree import tree_to_load
from .honoured.weights import WeightHooks, hook_strength

TREE = "diffusion_model"
# of the model around the tree, what turns its latents into those of a LATENT and back
_AROUND = ("process_latent_in", "process_latent_out")
# modules that are not called, of which a stream reads values
_READ_MODULES = re.compile(rf"{TREE}\.(head\.norm|blocks\.\d+\.(norm1|norm2|self_attn|cross_attn))")


def model_fingerprint(model: Any) -> str:
    """Fingerprint a `MODEL`: its weights without patches, its patches, and how this machine computes with it.

    All that a stream honours counts, as it will be once the model is loaded: object patches, and code and values that
    stand on modules themselves. Raises UnknownKindError, saying what, for a model with something on it that cannot be
    told apart.
    """
    if has_override(model):
        raise UnknownKindError("an attention that a node put on the model")
    if any(finding.kind == INSERTED for finding in inspect_model(model).unused):
        raise UnknownKindError("code that a node put into the model")
    found = Fingerprint()
    now = dict(_named(model.model))
    with tree_to_load(model) as tree:
        # a module's tree within a compiled one
        tree = getattr(tree, "_orig_mod", tree)
        for name, weight in sorted(_weights(model, tree, TREE, now)):
            _add(found, name, weight)
        for name, value in describe_modules(tree, TREE, USED_OBJECTS.fullmatch, _READ_MODULES.fullmatch):
            found.add(name, value)
        found.add("machine", [*machine_of(model.load_device, model.model.get_dtype_inference()), *_arithmetic()])
    for place, patches in sorted(model.patches.items()):
        _add(found, f"patch {place}", list(patches))
    for place, value in sorted(model.object_patches.items()):
        # the shift is told by the sampling, and what a stream never calls changes nothing
        if (USED_OBJECTS.fullmatch(place) or place in _AROUND) and not isinstance(value, nn.Module):
            _add(found, f"object {place}", value)
    compiled = {k: v for k, v in model.model_options.get(TORCH_COMPILE_KWARGS, {}).items() if k != COMPILE_KEY}
    found.add("compiled", [TORCH_COMPILE_KWARGS in model.model_options, repr(sorted(compiled.items()))])
    return found.hex()


def hooks_fingerprint(hooked: WeightHooks) -> str:
    """Fingerprint LoRA hooks: every number of their weights, and their strengths."""
    return value_fingerprint([[hook_strength(hook), hook.weights] for hook in hooked.group.hooks])


def vae_fingerprint(vae: Any) -> str:
    """Fingerprint a `VAE`: weights, code, precision and device. Raises UnknownKindError as `model_fingerprint` does."""
    found = Fingerprint()
    for name, weight in sorted(_weights(vae.patcher, vae.patcher.model, "", dict(_named(vae.patcher.model)))):
        _add(found, name, weight)
    for place, patches in sorted(vae.patcher.patches.items()):
        _add(found, f"patch {place}", list(patches))
    for place, value in sorted(vae.patcher.object_patches.items()):
        _add(found, f"object {place}", value)
    for name, value in describe_modules(vae.first_stage_model, "", _always, _always):
        found.add(name, value)
    found.add("pixels", describe_code(vae.process_output))
    found.add("machine", [*machine_of(vae.device, vae.vae_dtype), str(vae.vae_output_dtype()), *_arithmetic()])
    return found.hex()


def arithmetic_of_host() -> list[str]:
    """Versions and settings that change how this host computes. Raises UnknownKindError for an attention of a pack's
    own in the place of ComfyUI's."""
    return [torch.__version__, *_arithmetic()]


def value_fingerprint(value: Any) -> str:
    """Fingerprint tensors within data classes, lists and mappings. Raises UnknownKindError for anything else."""
    found = Fingerprint()
    _add(found, "value", value)
    return found.hex()


def _arithmetic() -> list[str]:
    """Settings of torch and ComfyUI that change how numbers are rounded."""
    matmul = torch.backends.cuda.matmul
    flags = [matmul.allow_tf32, getattr(matmul, "allow_fp16_accumulation", False), torch.backends.cudnn.allow_tf32]
    flags += [matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction]
    try:
        attention = repr(describe_code(comfy.ldm.wan.model.optimized_attention))
    except UnknownKindError:
        raise UnknownKindError("an attention that a pack put in the place of ComfyUI's") from None
    return [comfy_version, attention, str(flags), str(sorted(map(str, getattr(args, "fast", None) or ())))]


def _always(_: str) -> bool:
    return True


def _named(root: Any) -> Iterator[tuple[str, Tensor]]:
    yield from root.named_parameters()
    yield from root.named_buffers()


def _weights(patcher: Any, tree: Any, part: str, now: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a part of a patcher's model, as they are without any patch.

    now  those of the whole model at present, whose former values ComfyUI has put aside where it patched them.
    """
    for name, tensor in _named(tree):
        place = f"{part}.{name}".lstrip(".")
        if now.get(place) is not tensor:
            # of a module that comes into its place when the model is loaded
            yield place, tensor
            continue
        kept, hooked = patcher.backup.get(place), patcher.hook_backup.get(place)
        if hooked is not None and kept is None:
            tensor = hooked[0]
        yield place, tensor if kept is None else kept.weight


def _add(found: Fingerprint, name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        found.add(name, _tensor(value))
    elif value is None or isinstance(value, (str, bool, int, float)):
        found.add(name, [type(value).__name__, repr(value)])
    elif isinstance(value, (torch.dtype, torch.device)):
        found.add(name, str(value))
    elif isinstance(value, WeightAdapterBase):
        found.add(name, type(value).__name__)
        _add(found, f"{name}.weights", list(value.weights))
    elif isinstance(value, nn.Module):
        for place, what in describe_modules(value, name, _always, _always):
            found.add(place, what)
        _add(found, f"{name}.tensors", dict(_named(value)))
    elif isinstance(value, Mapping):
        found.add(name, ["mapping", len(value)])
        for key in sorted(value, key=str):
            _add(found, f"{name}.{key}", value[key])
    elif isinstance(value, (list, tuple, set, frozenset)):
        found.add(name, ["list", len(value)])
        for number, item in enumerate(sorted(value) if isinstance(value, (set, frozenset)) else value):
            _add(found, f"{name}.{number}", item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _add(found, name, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    elif callable(value):
        found.add(name, _code(name, value))
    else:
        raise _unknown(name, value)


def _code(name: str, value: Any) -> Any:
    try:
        return describe_code(value)
    except UnknownKindError:
        raise _unknown(name, value) from None


def _unknown(name: str, value: Any) -> UnknownKindError:
    return UnknownKindError(f"{name.replace('diffusion_model.', '')} ({type(value).__name__})")


def _tensor(tensor: Tensor) -> str:
    if type(tensor) in (Tensor, nn.Parameter):
        return fingerprint(tensor)
    if hasattr(tensor, "__tensor_flatten__"):
        # quantised weights: numbers, scales, and how they belong together
        parts, context = tensor.__tensor_flatten__()
        return " ".join([*(_tensor(getattr(tensor, part)) for part in parts), repr(context)])
    try:
        return f"{type(tensor).__qualname__} {fingerprint(tensor.as_subclass(Tensor))}"
    except (RuntimeError, TypeError) as error:
        raise UnknownKindError(f"weights of the kind {type(tensor).__name__}") from error
