"""Make a `MODEL` from files, and tell its precision and sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import comfy.model_management
import comfy.sd
import folder_paths
import torch
from torch import Tensor

from ...memflow_core.model import ModelSize
from .honoured.tree import tree_to_load

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def model_files(folder: str) -> list[str]:
    """File names in one of ComfyUI's model folders."""
    return folder_paths.get_filename_list(folder)


def model_path(folder: str, name: str) -> str:
    """Path of a model file. Raises FileNotFoundError if it is not in ComfyUI's folders."""
    return folder_paths.get_full_path_or_raise(folder, name)


def usual_dtype() -> torch.dtype:
    """Precision in which this machine runs a Wan 2.1 model, unless its loader is set otherwise."""
    return comfy.model_management.unet_dtype(supported_dtypes=[torch.float16, torch.bfloat16, torch.float32])


def usual_vae_dtype() -> torch.dtype:
    """Precision in which this machine runs the Wan 2.1 VAE."""
    device = comfy.model_management.vae_device()
    return comfy.model_management.vae_dtype(device, [torch.bfloat16, torch.float16, torch.float32])


def dtype_of(model: Any) -> torch.dtype:
    """Precision in which a `MODEL` computes, or will once it is loaded."""
    # not get_dtype_inference: a clone that was sampled with may have left a patch of its own there
    return model.get_model_object("manual_cast_dtype") or model.model.get_dtype()


def device_of(model: Any) -> torch.device:
    """Device on which a `MODEL` computes."""
    return model.load_device


def weight_bytes_of(model: Any) -> int:
    """Bytes of a `MODEL`'s weights."""
    return model.model_size()


def latent_channels_of(model: Any) -> int:
    """Channels of the latents that a `MODEL` makes."""
    with tree_to_load(model) as tree:
        return tree.patch_embedding.weight.shape[1]


def size_of(model: Any, embeddings: Sequence[Tensor]) -> ModelSize:
    """Sizes of a `MODEL` that reads these prompt embeddings, [1, length, text_dim] each, for an estimate."""
    with tree_to_load(model) as loaded:
        tree = cast(Any, loaded)
        return ModelSize(
            layers=len(tree.blocks),
            dim=tree.dim,
            heads=tree.num_heads,
            ffn_dim=tree.ffn_dim,
            text_dim=embeddings[0].shape[-1],
            text_length=max(embedding.shape[1] for embedding in embeddings),
            channels=tree.patch_embedding.weight.shape[1],
            dtype_bytes=dtype_of(model).itemsize,
        )


def wan_model(
    generator: Any, dtype: str, again: Callable[[], Any] | None = None, *, disable_dynamic: bool = False
) -> Any:
    """A `MODEL` from a generator's weights in plain Wan keys, as the core's `read_generator` returns them.

    dtype            default, bf16, fp16 or fp32.
    again            reads the generator once more, where ComfyUI needs a copy of the model: on another device, or
                     without dynamic VRAM.
    disable_dynamic  load it without dynamic VRAM.

    Raises ValueError if ComfyUI does not recognise the weights.
    """
    options = {} if dtype == "default" else {"dtype": DTYPES[dtype]}
    # what ComfyUI cannot tell from the weights' shapes
    sizes = {name: getattr(generator.config, name) for name in ("text_dim", "freq_dim", "num_heads")}
    metadata = {"config": json.dumps({"transformer": sizes})}
    model = comfy.sd.load_diffusion_model_state_dict(
        dict(generator.state_dict), model_options=options, metadata=metadata, disable_dynamic=disable_dynamic
    )
    if model is None:
        raise ValueError(
            "ComfyUI does not recognise these weights as a Wan 2.1 model; update ComfyUI to 0.30 or newer."
        )
    if again is not None:
        model.cached_patcher_init = (_copy_of_model, (again, dtype))
    return model


def _copy_of_model(again: Callable[[], Any], dtype: str, disable_dynamic: bool = False) -> Any:
    return wan_model(again(), dtype, again, disable_dynamic=disable_dynamic)


def with_lora(model: Any, lora: dict[str, Tensor], strength: float) -> Any:
    """A `MODEL` with a LoRA, in the keys and by the code of ComfyUI's own LoRA loader."""
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, strength, 0.0)
    return patched


def check_text_width(model: Any, embeddings: Sequence[Tensor]) -> None:
    """Raise ValueError unless prompt embeddings, [1, length, text_dim] each, are as wide as a `MODEL` reads them."""
    with tree_to_load(model) as tree:
        width = tree.text_embedding[0].in_features
    for embedding in embeddings:
        if embedding.ndim != 3 or embedding.shape[-1] != width:
            raise ValueError(
                f"the prompt embedding is {embedding.shape[-1]} wide, but the model reads {width}: use the text "
                f"encoder that belongs to the model (for Wan: umt5-xxl, type wan)."
            )
