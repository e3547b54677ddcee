"""What modules and functions are, beside their weights: names of their code and values that they read.

Code of ComfyUI and torch is known by its name and version. Other code cannot be told from the same with another
setting, so that where it decides numbers there is no fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

# packages whose code their version stands for
_KNOWN_CODE = {"comfy", "comfy_api", "comfy_extras", "torch"}
# what ComfyUI notes on modules while it loads and moves them
_NOTED = {
    "training",
    "device",
    "current_weight_patches_uuid",
    "lowvram_patch_counter",
    "model_loaded_weight_memory",
    "model_lowvram",
    "model_offload_buffer_memory",
    "seed_key",
    "weight_function",
    "bias_function",
}
_SIMPLE = (bool, int, float, str, type(None), torch.dtype, torch.device)


class UnknownKindError(ValueError):
    """Something that has no fingerprint. The message says what, as the end of a sentence."""


def describe_modules(
    root: nn.Module, place: str, is_used: Callable[[str], object], is_read: Callable[[str], object]
) -> Iterator[tuple[str, Any]]:
    """(name, value fit for JSON) of all that decides what modules compute, beside their parameters and buffers.

    place    of the root, such as `diffusion_model`.
    is_used  whether what stands at a place is called: modules, and code such as `diffusion_model.head.forward`.
    is_read  whether values of the module at a place count, though it may not be called.

    Raises UnknownKindError for code that is used and not its class's own, and for values of other kinds on modules that
    are not ComfyUI's or torch's.
    """
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        raise UnknownKindError("code that a pack runs at every module")
    kinds: set[type] = set()
    for name, module in root.named_modules():
        at = f"{place}.{name}".strip(".")
        if is_used(at) and (module._forward_hooks or module._forward_pre_hooks):
            raise UnknownKindError(f"code that a node put onto {at}")
        if is_used(at) and type(module) not in kinds:
            kinds.add(type(module))
            _check_class(type(module))
        if is_used(at) or is_read(at):
            yield f"kind {at}", _kind(type(module))
            yield f"values {at}", [[key, value] for key, value in _values(module, at, is_used)]


def _kind(kind: type) -> str:
    """The name of a class. The pack's own are of a package that ComfyUI names by the folder that it is in."""
    home, pack = kind.__module__, __name__.removesuffix(".nodes.host.code_identity")
    home = f"memflow{home.removeprefix(pack)}" if home.startswith(f"{pack}.") else home
    return f"{home}.{kind.__qualname__}"


def describe_code(code: Any) -> Any:
    """A function of ComfyUI's or torch's, with what it encloses, fit for JSON. Raises UnknownKindError for others."""
    if isinstance(code, FunctionType) and _is_known(code.__globals__.get("__name__")):
        inside = [_enclosed(cell.cell_contents) for cell in code.__closure__ or ()]
        defaults = [_enclosed(value) for value in (*(code.__defaults__ or ()), *(code.__kwdefaults__ or {}).values())]
        return [f"{code.__globals__['__name__']}.{code.__qualname__}", _instructions(code.__code__), inside, defaults]
    if isinstance(code, type(torch.add)) and _is_known(getattr(code, "__module__", None) or "torch"):
        return [f"{code.__module__}.{code.__qualname__}"]
    raise UnknownKindError(f"a {type(code).__name__} of another pack's")


def _enclosed(value: Any) -> Any:
    return describe_code(value) if callable(value) and not isinstance(value, type) else _simple(value)


def _simple(value: Any) -> Any:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if not _is_simple(value):
        raise UnknownKindError(f"a {type(value).__name__} that code encloses")
    return repr(value)


def _is_simple(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_simple(item) for item in value)
    return isinstance(value, _SIMPLE)


def _instructions(code: CodeType) -> list[Any]:
    consts = [_instructions(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return [code.co_code.hex(), consts, list(code.co_names)]


def _values(module: nn.Module, at: str, is_used: Callable[[str], object]) -> Iterator[tuple[str, Any]]:
    """What a module reads beside tensors and modules. Its code must be its own where it is used."""
    known = _is_known(type(module).__module__)
    for key, value in sorted(vars(module).items()):
        if key.startswith("_") or key in _NOTED or "comfy" in key or "lowvram" in key:
            continue
        if _is_simple(value):
            yield key, repr(value)
        elif callable(value) and not isinstance(value, (type, nn.Module)):
            # ComfyUI leaves a class's own code on the module when it takes an object patch back
            if is_used(f"{at}.{key}") and not _is_own(value, module, key):
                yield key, _code_at(value, f"{at}.{key}")
        elif not known and not isinstance(value, (type, nn.Module, Tensor)):
            raise UnknownKindError(f"{at}.{key} ({type(value).__name__})")


def _is_own(code: Any, module: nn.Module, key: str) -> bool:
    same = isinstance(code, MethodType) and code.__self__ is module
    return same and code.__func__ is getattr(type(module), key, None)


def _code_at(value: Any, at: str) -> Any:
    try:
        return describe_code(value)
    except UnknownKindError:
        raise UnknownKindError(f"code that a node put at {at}") from None


def _check_class(kind: type) -> None:
    """Raise UnknownKindError where a class's forwards are not of the file that the class is of."""
    for parent in kind.__mro__:
        for name, code in vars(parent).items():
            if not name.lstrip("_").startswith("forward") and name != "__call__":
                continue
            home = code.__globals__.get("__name__") if isinstance(code, FunctionType) else None
            if home is not None and home != parent.__module__:
                raise UnknownKindError(f"code that a pack put in the place of {parent.__name__}.{name}")


def _is_known(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in _KNOWN_CODE
