"""A model on its device, sampled on ComfyUI's terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor, nn

from ...memflow_core.backbone import Backbone
from ...memflow_core.stream import LatentShape
from .overlap import decode_of

DECODED_FRAMES = 3  # most latent frames that a streaming decode takes at once


def wan_tree(model) -> nn.Module:
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
def sampling(model, latent_shape: tuple[int, ...], cache_bytes: int, vae=None) -> Iterator[Backbone]:
    """A `MODEL` on its device, patched and ready, as a `Backbone`; beside it a `VAE` to decode with, if there is one.

    ComfyUI makes room for the activations of one forward over `latent_shape`, for `cache_bytes` of ours and for the
    decode of a few latent frames, and offloads, casts and patches as for any sampler.
    """
    models, needed = [model], model.memory_required(list(latent_shape)) + cache_bytes
    if vae is not None:
        batch, channels, _, rows, columns = latent_shape
        models.append(vae.patcher)
        reckoned = vae.memory_used_decode((batch, channels, DECODED_FRAMES, rows, columns), vae.vae_dtype)
        decode = decode_of(model, vae, LatentShape(rows, columns, batch))
        needed += max(reckoned, decode.carry + decode.work)
    comfy.model_management.load_models_gpu(models, memory_required=needed)
    with comfy.model_management.cuda_device_context(model.load_device):
        try:
            model.pre_run()
            yield Backbone(wan_tree(model), model.model.get_dtype_inference(), attention_of(model))
        finally:
            model.cleanup()


def back_on_device(model, latent_shape: tuple[int, ...], vae=None) -> None:
    """Inside `sampling`, after another model ran: make sure that what samples is on its device again."""
    models = [model] if vae is None else [model, vae.patcher]
    comfy.model_management.load_models_gpu(models, memory_required=model.memory_required(list(latent_shape)))


def stop_if_cancelled() -> None:
    """Raise ComfyUI's own exception if the user pressed cancel."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def attention_of(model):
    """ComfyUI's attention, with any override that a node put on the model."""
    options = model.model_options.get("transformer_options", {})

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return optimized_attention(
            q, k, v, heads=q.shape[1], skip_reshape=True, skip_output_reshape=True, transformer_options=options
        )

    return attend


def to_latent(model, x: Tensor, stay: bool = False) -> Tensor:
    """From the model's latent space to that of ComfyUI's `LATENT`, on ComfyUI's device for results, or where it is."""
    latent = model.model.process_latent_out(x)
    return latent if stay else latent.to(comfy.model_management.intermediate_device())


def from_latent(model, x: Tensor) -> Tensor:
    """From the latent space of ComfyUI's `LATENT` to the model's."""
    return model.model.process_latent_in(x)
