"""Put a `MODEL` on its device, and make a `Backbone` of it under ComfyUI's offloading, casting and patches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import comfy.model_management
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy_api.torch_helpers.torch_compile import TORCH_COMPILE_KWARGS
from torch import Tensor

from ...memflow_core.model import Backbone, Compiler, WanTree


def wan_tree(model: Any) -> WanTree:
    """The Wan-layout module tree inside a `MODEL`. Raises ValueError, naming what it found, for anything else."""
    tree = model.model.diffusion_model
    found = type(model.model).__name__
    parts = ("patch_embedding", "text_embedding", "time_embedding", "time_projection", "blocks", "head")
    if not all(hasattr(tree, part) for part in parts):
        raise ValueError(
            f"the model is a {found}, but MemFlow needs a Wan 2.1 text-to-video model: load MemFlow, "
            f"Self-Forcing, LongLive or Causal Forcing weights of the 1.3B layout."
        )
    channels = tree.patch_embedding.weight.shape[1]
    if getattr(tree, "img_emb", None) is not None or channels != tree.out_dim:
        raise ValueError(
            f"the model is a {found} with {channels} input channels, but MemFlow needs a text-to-video model "
            f"with {tree.out_dim}: image-to-video and control models cannot be streamed."
        )
    return tree


@contextmanager
def sampling(model: Any, latent_shape: tuple[int, ...], needed_bytes: int, vae: Any = None) -> Iterator[Backbone]:
    """A `MODEL` on its device as a `Backbone`, with a `VAE` beside it if there is one, while the context lasts.

    ComfyUI makes room for `needed_bytes` beside weights, and offloads, casts and patches as for any sampler. Where its
    attention builds score matrices, it adds its own estimate for a forward over `latent_shape`.
    """
    management = comfy.model_management
    if not (management.xformers_enabled() or management.pytorch_attention_flash_attention()):
        needed_bytes += model.memory_required(list(latent_shape))
    _load(model, vae, needed_bytes)
    with management.cuda_device_context(model.load_device):
        try:
            model.pre_run()
            yield Backbone(
                wan_tree(model),
                model.model.get_dtype_inference(),
                attention=attention_of(model),
                reader=reader_of(model),
                compiler=compiler_of(model),
            )
        finally:
            model.cleanup()


def back_on_device(model: Any, latent_shape: tuple[int, ...], vae: Any = None) -> None:
    """Load model and VAE on their devices again, inside `sampling`, after another model ran."""
    _load(model, vae, model.memory_required(list(latent_shape)))


def _load(model: Any, vae: Any, needed_bytes: int) -> None:
    """Load a `MODEL`, and a `VAE` if there is one, each on the device where it belongs.

    Room for `needed_bytes` is made on the model's device alone: on another, what the user put there can stay.
    """
    load = comfy.model_management.load_models_gpu
    if vae is None or vae.patcher.load_device == model.load_device:
        load([model] if vae is None else [model, vae.patcher], memory_required=needed_bytes)
        return
    load([model], memory_required=needed_bytes)
    load([vae.patcher])


def room(model: Any) -> int | None:
    """Bytes of a `MODEL`'s device that are free once ComfyUI has moved every model away.

    None on the CPU and on devices that share its memory, where the operating system can swap.
    """
    device, management = model.load_device, comfy.model_management
    if device.type in ("cpu", "mps"):
        return None
    loaded = sum(other.model_loaded_memory() for other in management.current_loaded_models if other.device == device)
    return management.get_free_memory(device) + loaded


def stop_if_cancelled() -> None:
    """Raise ComfyUI's own exception if the user pressed cancel."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def attention_of(model: Any) -> Callable[..., Tensor]:
    """ComfyUI's attention, with any override that a node put on the model: q, k, v [B, heads, L, head_dim] -> same."""
    if not _has_override(model):
        # always the same object, so that it is timed once
        return _comfy_attention
    return partial(_comfy_attention, transformer_options=model.model_options["transformer_options"])


def reader_of(model: Any) -> str:
    """How attention reads the frames that SMA chose: `fastest`, or `gather`, through a node's override on the model."""
    return "gather" if _has_override(model) else "fastest"


def _has_override(model: Any) -> bool:
    return "optimized_attention_override" in model.model_options.get("transformer_options", {})


def _comfy_attention(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    return optimized_attention(q, k, v, heads=q.shape[1], skip_reshape=True, skip_output_reshape=True, **options)


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
