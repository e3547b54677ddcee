"""The Wan module tree of a MODEL, as object patches make it, and whether it is one that a stream can drive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any, cast

import comfy.utils
from comfy.utils import get_attr
from torch import nn

from ....memflow_core.model import WanTree

# latent channels of the Wan VAEs, and pixels of a latent's side
LATENTS = {16: 8, 48: 16}
# what ComfyUI keeps as the former value of an attribute that a patch made
_UNSET: Any = getattr(comfy.utils, "ATTR_UNSET", object())

# of these a stream reads all; an entry of another name in the same place is one that it does not know
_TREE_PARTS = {"patch_embedding", "text_embedding", "time_embedding", "time_projection", "blocks", "head"}
_BLOCK_PARTS = {"norm1", "self_attn", "norm3", "cross_attn", "norm2", "ffn", "modulation"}
_ATTENTION_PARTS = {"q", "k", "v", "o", "norm_q", "norm_k"}
_HEAD_PARTS = {"norm", "head", "modulation"}
# what is read of a layer beside calling it
_READ = {"patch_embedding": "weight", "text_embedding.0": "in_features", "time_embedding.0": "in_features"}


@contextmanager
def tree_to_load(model: Any) -> Iterator[WanTree]:
    """A `MODEL`'s tree as it will be once the model is loaded, while the context lasts.

    Object patches take effect when ComfyUI loads a model, and those of a clone that was sampled with stay on the
    modules that clones share until another is loaded. A model that is loaded is left as it is.

    Raises ValueError as `wan_tree` does, and for an object patch at a place that the model does not have.
    """
    with ExitStack() as stack:
        for place, value in {**model.object_patches_backup, **model.object_patches}.items():
            try:
                _put(stack, model.model, place, value)
            except (AttributeError, TypeError) as error:
                raise ValueError(
                    f"a node puts a {type(value).__name__} at {place} of the model, where it does not fit: take the "
                    f"node out that does so."
                ) from error
        yield wan_tree(model)


def _put(stack: ExitStack, root: nn.Module, place: str, value: Any) -> None:
    """Set an attribute until the stack closes."""
    parent, _, name = place.rpartition(".")
    owner = get_attr(root, parent) if parent else root
    now = getattr(owner, name, _UNSET)
    if now is value or (isinstance(value, MethodType) and now == value):
        return
    held = name in vars(owner) or any(name in vars(owner).get(kind, ()) for kind in ("_modules", "_parameters"))
    if value is _UNSET:
        delattr(owner, name)
    else:
        setattr(owner, name, value)
    stack.callback(*((setattr, owner, name, now) if held else (delattr, owner, name)))


def wan_tree(model: Any) -> WanTree:
    """The Wan-layout module tree inside a `MODEL`. Raises ValueError, naming what it found, for anything else."""
    # an attribute of the model, or what a node puts in its place when the model is loaded
    tree = model.get_model_object("diffusion_model")
    found = type(model.model).__name__
    if not all(hasattr(tree, part) for part in _TREE_PARTS):
        raise ValueError(
            f"the model is a {found}, but MemFlow needs a Wan text-to-video model: load MemFlow, Self-Forcing, "
            f"LongLive or Causal Forcing weights."
        )
    _check_parts(tree)
    _check_latents(model, tree, found)
    extra = next(_foreign_parts(tree), None)
    if extra is not None:
        patched = (place for place in model.object_patches if place != "diffusion_model")
        if any(f"diffusion_model.{extra}.".startswith(f"{place}.") for place in patched):
            raise ValueError(
                f"a node puts {extra} into the model, which a stream would leave out: take the node out that does so."
            )
        raise ValueError(
            f"the model is a {found}, whose {extra} a stream would leave out: VACE, speech, camera, animation and "
            f"reference models cannot be streamed; load a plain text-to-video model."
        )
    return cast(WanTree, tree)


def _check_latents(model: Any, tree: Any, found: str) -> None:
    channels = tree.patch_embedding.weight.shape[1]
    if getattr(tree, "img_emb", None) is not None or channels != tree.out_dim:
        raise ValueError(
            f"the model is a {found} with {channels} input channels, but MemFlow needs a text-to-video model "
            f"with {tree.out_dim}: image-to-video and control models cannot be streamed."
        )
    spatial = getattr(model.model.latent_format, "spacial_downscale_ratio", None)
    if LATENTS.get(channels) != spatial:
        known = " or ".join(f"{count} for {side} x {side}" for count, side in LATENTS.items())
        raise ValueError(
            f"the model is a {found} with {channels} latent channels for {spatial} x {spatial} pixels, but MemFlow "
            f"streams Wan models with {known}: load a model of the 1.3B, 5B or 14B text-to-video layout."
        )


def _check_parts(tree: Any) -> None:
    """Raise ValueError for a part that is not laid out as Wan's own, as where a node put another in its place."""
    needed = [*_READ.items(), *(("head", name) for name in sorted(_HEAD_PARTS)), ("head.norm", "eps")]
    for number in range(len(tree.blocks)):
        block = f"blocks.{number}"
        needed += [(block, name) for name in sorted(_BLOCK_PARTS)]
        needed += [(f"{block}.{name}", "eps") for name in ("norm1", "norm2")]
        needed += [
            (f"{block}.{name}", part) for name in ("self_attn", "cross_attn") for part in sorted(_ATTENTION_PARTS)
        ]
    for place, name in needed:
        try:
            part = get_attr(tree, place)
            getattr(part, name)
        except AttributeError:
            at = place if place not in _READ else place.removesuffix(".0")
            raise ValueError(
                f"{at} of the model is a {type(get_attr(tree, at)).__name__}, of which a stream cannot read {name}: "
                f"take the node out that puts it there."
            ) from None


def _foreign_parts(tree: Any) -> Iterator[str]:
    """Parts with weights that a stream would never call, by their place in the tree."""
    yield from _unknown(tree, _TREE_PARTS, "")
    for number, block in enumerate(tree.blocks):
        yield from _unknown(block, _BLOCK_PARTS, f"blocks.{number}.")
        for name in ("self_attn", "cross_attn"):
            yield from _unknown(getattr(block, name), _ATTENTION_PARTS, f"blocks.{number}.{name}.")


def _unknown(module: Any, known: set[str], place: str) -> Iterator[str]:
    if not isinstance(module, nn.Module):
        return
    for name, part in module.named_children():
        if name not in known and next(part.parameters(), None) is not None:
            yield f"{place}{name}"
    for name, _ in module.named_parameters(recurse=False):
        if name not in known:
            yield f"{place}{name}"
