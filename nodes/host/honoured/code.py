"""Code that nodes put on a model themselves, past ComfyUI's patches, where a stream calls none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from .findings import Finding, unused_at

_FORWARDS = ("forward", "_forward", "forward_orig")
_WAN = "comfy.ldm.wan."


def uncalled_code(root: Any, tree: Any, is_used: Callable[[str], object]) -> Iterator[Finding]:
    """Findings of code that a stream never calls: on modules and their classes, and on ComfyUI's model around them.

    root     ComfyUI's model, whose methods a stream does without.
    tree     its Wan tree.
    is_used  whether a stream calls, or reads, what stands at a place such as `diffusion_model.head.forward`.
    """
    modules = dict(getattr(tree, "_orig_mod", tree).named_modules())
    for name, module in modules.items():
        place = f"diffusion_model.{name}".rstrip(".")
        yield from _on_module(place, module, is_used)
    for kind in dict.fromkeys(type(module) for module in modules.values()):
        yield from _on_class(kind)
    for name, code in vars(root).items():
        if callable(code) and hasattr(type(root), name) and not _is_own(code, root, name):
            yield unused_at(name, code)
    yield from _other_classes(tree)


def _on_module(place: str, module: Any, is_used: Callable[[str], object]) -> Iterator[Finding]:
    for attribute in _FORWARDS:
        code = vars(module).get(attribute)
        if code is not None and not _is_own(code, module, attribute) and not is_used(f"{place}.{attribute}"):
            yield unused_at(f"{place}.{attribute}", code)
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    if hooks and not is_used(place):
        yield unused_at(f"{place}: forward hook", hooks[0])


def _on_class(kind: type) -> Iterator[Finding]:
    """Forwards of ComfyUI's Wan classes that other code was put in the place of."""
    if not kind.__module__.startswith(_WAN):
        return
    for attribute in _FORWARDS:
        code = vars(kind).get(attribute)
        home = code.__globals__.get("__name__") if isinstance(code, FunctionType) else type(code).__module__
        if code is not None and home != kind.__module__:
            yield unused_at(f"{kind.__name__}.{attribute}", code)


def _other_classes(tree: Any) -> Iterator[Finding]:
    """Blocks, attentions and positions of another class than ComfyUI's: a stream runs its own in their place."""
    parts = {"rope_embedder": getattr(tree, "rope_embedder", None)}
    for number, block in enumerate(tree.blocks):
        at = f"blocks.{number}"
        parts |= {at: block, f"{at}.self_attn": block.self_attn, f"{at}.cross_attn": block.cross_attn}
    for place, part in parts.items():
        if part is not None and not type(part).__module__.startswith("comfy."):
            yield unused_at(f"diffusion_model.{place}", part)


def _is_own(code: Any, owner: Any, attribute: str) -> bool:
    """Whether code is the owner's own method, which ComfyUI leaves on it when it takes an object patch back."""
    own = getattr(type(owner), attribute, None)
    return getattr(code, "__self__", None) is owner and getattr(code, "__func__", None) is own
