"""Patches of weights that change nothing, since their sizes are not the model's: LoRAs and the like."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from comfy.hooks import HookGroup
from comfy.lora import load_lora, model_lora_keys_unet
from comfy.utils import get_attr
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor

from .findings import UNUSED, Finding


def misfit_patches(model: Any) -> Iterator[Finding]:
    """One finding where patches, as of a LoRA, have other sizes than their weights, for which ComfyUI skips them."""
    fits = [
        _fits(model, key, [(value, offset) for _, value, _, offset, *_ in patches])
        for key, patches in model.patches.items()
    ]
    yield from _misfits(fits)


def misfit_hooks(model: Any, groups: Iterable[HookGroup]) -> Iterator[Finding]:
    """One finding where weights of LoRA hooks have other sizes than the model's, or none of them is for the model."""
    keys = model_lora_keys_unet(model.model, {})
    for hook in (hook for group in groups for hook in group.hooks):
        weights = load_lora(hook.weights, keys, log_missing=False) if hook.need_weight_init else hook.weights
        if not weights:
            yield Finding(UNUSED, "hooks: a LoRA without weights for this model")
        parts = [key if isinstance(key, tuple) else (key, None) for key in weights]
        yield from _misfits(
            [_fits(model, part[0], [(weights[key], part[1])]) for key, part in zip(weights, parts, strict=True)]
        )


def _misfits(fits: Sequence[bool]) -> Iterator[Finding]:
    if not all(fits):
        yield Finding(UNUSED, f"a LoRA of other sizes than the model's, for {fits.count(False)} of {len(fits)} weights")


def _fits(model: Any, key: str | tuple, patches: Sequence[tuple[Any, tuple[int, int, int] | None]]) -> bool:
    """Whether patches, with the parts of the weight that they are for, have the weight's size."""
    try:
        shape = list(get_attr(model.model, key if isinstance(key, str) else key[0]).shape)
    except AttributeError:
        return True
    return all(_has_size(value, _narrowed(shape, offset)) for value, offset in patches)


def _narrowed(shape: list[int], offset: tuple[int, int, int] | None) -> list[int]:
    """The shape of the part of a weight that a patch is for."""
    return shape if offset is None else [*shape[: offset[0]], offset[2], *shape[offset[0] + 1 :]]


def _has_size(value: Any, shape: list[int]) -> bool:
    """Whether a patch has the numbers of a weight of this shape; true for kinds of patches that are not known."""
    if isinstance(value, WeightAdapterBase):
        return _changes(value, torch.empty(shape, device="meta"))
    kind, numbers = value if isinstance(value, tuple) and len(value) == 2 else ("diff", value)
    if kind == "set" and list(numbers[0].shape) != shape:
        raise ValueError(
            f"a LoRA sets weights of the shape {list(numbers[0].shape)} where the model has {shape}: take the LoRA out."
        )
    if kind != "diff" or not isinstance(numbers, tuple) or not isinstance(numbers[0], Tensor):
        return True
    padded = len(numbers) > 1 and numbers[1].get("pad_weight")
    return bool(padded) or list(numbers[0].shape) == shape


def _changes(adapter: WeightAdapterBase, weight: Tensor) -> bool:
    """Whether ComfyUI's own code for LoRA, LoKr, OFT and the like changes a weight: tried on shapes without numbers.

    It logs an error, and leaves the weight as it is, where the sizes differ.
    """
    # a limit of 0 is one that OFT need not compare numbers for
    shapes = [
        part.to("meta") if isinstance(part, Tensor) else 0.0 if isinstance(part, float) else part
        for part in adapter.weights
    ]
    twin = type(adapter)(adapter.loaded_keys, shapes)
    before = weight._version
    logging.getLogger().addFilter(_is_no_error)
    try:
        changed = twin.calculate_weight(weight, "", 1.0, 1.0, None, lambda change: change)
    except NotImplementedError:
        return True
    except (RuntimeError, IndexError, ValueError):
        return False
    finally:
        logging.getLogger().removeFilter(_is_no_error)
    return changed is None or changed is not weight or weight._version > before


def _is_no_error(record: logging.LogRecord) -> bool:
    """ComfyUI tells each misfit when it loads the weights; once is enough."""
    return record.levelno < logging.ERROR or record.thread != threading.get_ident()
