"""Put a `MODEL` on its device, and make a `Backbone` of it under ComfyUI's offloading, casting and patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import comfy.model_management
import torch
from comfy_api.torch_helpers.torch_compile import TORCH_COMPILE_KWARGS
from torch import Tensor, nn

from ...memflow_core.model import Backbone, Compiler
from ...memflow_core.parallel import ParallelBackbone
from .control import ControlUse, control_tree
from .honoured.attention import (
    AttentionOptions,
    attention_of,
    cross_attention_of,
    dense_of,
    has_override,
    reader_of,
)
from .honoured.tree import wan_tree
from .honoured.weights import HookedWeights
from .ranks import group_of


@contextmanager
def sampling(
    model: Any,
    latent_shape: tuple[int, ...],
    needed_bytes: int,
    vae: Any = None,
    *,
    weights: HookedWeights | None = None,
    timesteps: Sequence[float] = (),
    control: ControlUse | None = None,
) -> Iterator[Backbone]:
    """A `MODEL` on its device as a `Backbone`, with a `VAE` beside it if there is one, while the context lasts.

    ComfyUI makes room for `needed_bytes` beside weights, and offloads, casts and patches as for any sampler. Where its
    attention builds score matrices, it adds its own estimate for a forward over `latent_shape`.

    weights    sets of weights beside the model's own; None: there are none.
    timesteps  of a chunk's denoising steps, 1000 to 0, for attention that asks.
    control    what is used of control; None: nothing, and control weights stay away.
    """
    management = comfy.model_management
    if not (management.xformers_enabled() or management.pytorch_attention_flash_attention()):
        needed_bytes += model.memory_required(list(latent_shape))
    weights = weights or HookedWeights(model, {})
    weights.register()
    try:
        _load(model, vae, needed_bytes, control)
        with management.cuda_device_context(model.load_device):
            model.pre_run()
            tree = control_tree(model) if control is not None and control.steers else None
            yield _backbone(model, weights, timesteps, control=tree)
    finally:
        model.cleanup()
        weights.forget()


def _backbone(model: Any, weights: HookedWeights, timesteps: Sequence[float], control: nn.Module | None) -> Backbone:
    tree = wan_tree(model)
    told = AttentionOptions(model, tree, timesteps)
    replaced = cross_attention_of(tree, told.options)
    group = group_of(model.load_device)
    kind = Backbone if group is None else partial(ParallelBackbone, group=group)
    return kind(
        tree,
        model.model.get_dtype_inference(),
        attention=attention_of(model, told.options),
        dense=dense_of(model),
        reader=reader_of(model),
        compiler=compiler_of(model),
        cross_attention=replaced,
        weights=weights,
        listener=told if replaced or has_override(model) else None,
        control=control,
    )


def back_on_device(
    model: Any,
    latent_shape: tuple[int, ...],
    vae: Any = None,
    weights: HookedWeights | None = None,
    control: ControlUse | None = None,
) -> None:
    """Load model and VAE on their devices again, inside `sampling` with the same weights, after another model ran."""
    _load(model, vae, model.memory_required(list(latent_shape)), control)
    if weights is not None:
        weights.restore()


def _load(model: Any, vae: Any, needed_bytes: int, control: ControlUse | None = None) -> None:
    """Load a `MODEL`, a `VAE` if there is one, and what control needs, each on the device where it belongs.

    Room for `needed_bytes` is made on the model's device alone: on another, what the user put there can stay.
    """
    beside = [] if vae is None else [vae.patcher]
    if control is not None:
        beside += control.patchers(model)
    # a VAE may be both
    beside = list({id(patcher): patcher for patcher in beside}.values())
    here = [patcher for patcher in beside if patcher.load_device == model.load_device]
    load = comfy.model_management.load_models_gpu
    load([model, *here], memory_required=needed_bytes)
    if there := [patcher for patcher in beside if patcher.load_device != model.load_device]:
        load(there)


def room(model: Any) -> int | None:
    """Bytes of a `MODEL`'s device that are free once ComfyUI has moved every model away.

    None on the CPU and on devices that share its memory, where the operating system can swap.
    """
    device, management = model.load_device, comfy.model_management
    if device.type in ("cpu", "mps"):
        return None
    loaded = sum(other.model_loaded_memory() for other in management.current_loaded_models if other.device == device)
    # with dynamic VRAM, what other models hold and can give back at once is known to the model alone
    return max(management.get_free_memory(device) + loaded, model.get_free_memory(device))


def stop_if_cancelled() -> None:
    """Raise ComfyUI's own exception if the user pressed cancel."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def compiler_of(model: Any) -> Compiler | None:
    """torch.compile with the options of a Torch Compile Model node on the model; None without one.

    What the node itself compiles is ComfyUI's forward, which a stream does not use.
    """
    options = model.model_options.get(TORCH_COMPILE_KWARGS)
    # a stream's chunks are all of one size
    return None if options is None else partial(torch.compile, **options | {"dynamic": False})


def to_latent(model: Any, x: Tensor, stay: bool = False) -> Tensor:
    """Latents [B, C, F, h, w] of the model's latent space in that of a `LATENT`.

    stay  whether they stay on their device; else they go to ComfyUI's device for results.
    """
    latent = model.model.process_latent_out(x)
    return latent if stay else latent.to(comfy.model_management.intermediate_device())


def from_latent(model: Any, x: Tensor) -> Tensor:
    """Latents [B, C, F, h, w] of a `LATENT` in the model's latent space."""
    return model.model.process_latent_in(x)
