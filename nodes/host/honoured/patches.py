"""Patches on a MODEL that change nothing: weights of another size, and code of modules that a stream never calls."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from comfy.utils import get_attr
from comfy.weight_adapter import LoHaAdapter, LoRAAdapter
from torch import Tensor

from .findings import UNUSED, Finding, node_behind

_FORWARDS = ("forward", "_forward", "forward_orig")
_BLOCK = re.compile(r"\.\d+\b")


def misfit_patches(model: Any) -> Iterator[Finding]:
    """One finding where patches, as of a LoRA, have other sizes than their weights, for which ComfyUI skips them."""
    misfits = sum(not _fits(model, key, patches) for key, patches in model.patches.items())
    if misfits:
        yield Finding(UNUSED, f"a LoRA of other sizes than the model's, for {misfits} of {len(model.patches)} weights")


def _fits(model: Any, key: str | tuple, patches: Sequence[tuple]) -> bool:
    try:
        shape = list(get_attr(model.model, key if isinstance(key, str) else key[0]).shape)
    except AttributeError:
        return True
    return all(_has_size(value, _narrowed(shape, offset)) for _, value, _, offset, *_ in patches)


def _narrowed(shape: list[int], offset: tuple[int, int, int] | None) -> list[int]:
    """The shape of the part of a weight that a patch is for."""
    return shape if offset is None else [*shape[: offset[0]], offset[2], *shape[offset[0] + 1 :]]


def _has_size(value: Any, shape: list[int]) -> bool:
    """Whether a patch has the numbers of a weight of this shape; true for kinds of patches that are not known."""
    if isinstance(value, LoRAAdapter):
        up, down, _, mid, _, reshape = value.weights[:6]
        if mid is not None or reshape is not None:
            return True
        rows, columns = up.flatten(start_dim=1), down.flatten(start_dim=1)
        return rows.shape[1] == columns.shape[0] and rows.shape[0] * columns.shape[1] == math.prod(shape)
    if isinstance(value, LoHaAdapter):
        first, second, tucker = value.weights[0], value.weights[1], value.weights[5]
        return tucker is not None or first.shape[0] * second.shape[1] == math.prod(shape)
    kind, numbers = value if isinstance(value, tuple) and len(value) == 2 else ("diff", value)
    if kind != "diff" or not isinstance(numbers, tuple) or not isinstance(numbers[0], Tensor):
        return True
    padded = len(numbers) > 1 and numbers[1].get("pad_weight")
    return bool(padded) or list(numbers[0].shape) == shape


def uncalled_code(tree: Any, is_used: Callable[[str], object]) -> Iterator[Finding]:
    """Findings of code that stands on the modules of a tree themselves, where a stream calls none of it.

    is_used  whether a stream calls, or reads, what stands at a place such as `diffusion_model.head.forward`.
    """
    for name, module in getattr(tree, "_orig_mod", tree).named_modules():
        place = f"diffusion_model.{name}".rstrip(".")
        for attribute in _FORWARDS:
            if attribute in vars(module) and not is_used(f"{place}.{attribute}"):
                yield _finding(f"{place}.{attribute}", vars(module)[attribute])
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
        if hooks and not is_used(place):
            yield _finding(f"{place}: forward hook", hooks[0])


def _finding(place: str, code: Any) -> Finding:
    # most nodes do the same to every block
    return Finding(UNUSED, _BLOCK.sub(".*", place), node_behind(code))
