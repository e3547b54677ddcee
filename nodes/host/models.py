"""Models from files."""

from __future__ import annotations

import json

import comfy.model_management
import comfy.sd
import folder_paths
import torch
from torch import Tensor

from .sampling import wan_tree

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def model_files(folder: str) -> list[str]:
    """File names in one of ComfyUI's model folders."""
    return folder_paths.get_filename_list(folder)


def model_path(folder: str, name: str) -> str:
    """Path of a model file; FileNotFoundError if it is not in ComfyUI's folders."""
    return folder_paths.get_full_path_or_raise(folder, name)


def usual_dtype() -> torch.dtype:
    """In what this machine runs a Wan 2.1 model, unless a loader is told otherwise."""
    return comfy.model_management.unet_dtype(supported_dtypes=[torch.float16, torch.bfloat16, torch.float32])


def usual_vae_dtype() -> torch.dtype:
    """In what this machine runs the Wan 2.1 VAE."""
    device = comfy.model_management.vae_device()
    return comfy.model_management.vae_dtype(device, [torch.bfloat16, torch.float16, torch.float32])


def wan_model(generator, dtype: str):
    """A `MODEL` from a generator's weights in plain Wan keys. dtype: default, bf16, fp16 or fp32."""
    options = {} if dtype == "default" else {"dtype": DTYPES[dtype]}
    # what ComfyUI cannot tell from the weights' shapes
    sizes = {name: getattr(generator.config, name) for name in ("text_dim", "freq_dim", "num_heads")}
    metadata = {"config": json.dumps({"transformer": sizes})}
    model = comfy.sd.load_diffusion_model_state_dict(
        dict(generator.state_dict), model_options=options, metadata=metadata
    )
    if model is None:
        raise ValueError(
            "ComfyUI does not recognise these weights as a Wan 2.1 model; update ComfyUI to 0.30 or newer."
        )
    return model


def with_lora(model, lora: dict[str, Tensor], strength: float):
    """A `MODEL` with a LoRA behind it, by ComfyUI's own LoRA code."""
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, strength, 0.0)
    return patched


def check_text_width(model, embeddings: tuple[Tensor, ...]) -> None:
    """Raise ValueError if prompts were encoded for another model."""
    width = wan_tree(model).text_embedding[0].in_features
    for embedding in embeddings:
        if embedding.ndim != 3 or embedding.shape[-1] != width:
            raise ValueError(
                f"the prompt embedding is {embedding.shape[-1]} wide, but the model reads {width}: use the text "
                f"encoder that belongs to the model (for Wan: umt5-xxl, type wan)."
            )
