"""Make a `MODEL` from files, and tell its precision and sizes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
import torch
from torch import Tensor

from ...memflow_core.model import ModelSize
from .file_names import found_path, other_name
from .honoured.tree import tree_to_load

# as Wan is published and was trained; ComfyUI itself would begin with float16
PREFERRED = (torch.bfloat16, torch.float16, torch.float32)
# ComfyUI computes the patch embedding in float32 whatever the rest is in
IN_FLOAT32 = "patch_embedding."
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def model_files(folder: str) -> list[str]:
    """File names in one of ComfyUI's model folders, and the other names that some of these files go by."""
    names = folder_paths.get_filename_list(folder)
    others = (other_name(folder, name) for name in names)
    known = {"", *names}
    return [*names, *(other for other in others if other not in known)]


def model_path(folder: str, name: str) -> str:
    """Path of a model file, by either of its names. Raises FileNotFoundError if it is not in ComfyUI's folders."""
    found = found_path(folder, name)
    if found is None:
        return folder_paths.get_full_path_or_raise(folder, name)
    if found[1] != name:
        logging.info("MemFlow: models/%s has no %s: %s is read, its other name.", folder, name, found[1])
    return found[0]


def usual_dtype() -> torch.dtype:
    """Precision in which this machine runs a model of our loader, unless it is set otherwise: bfloat16 where it can."""
    return comfy.model_management.unet_dtype(supported_dtypes=list(PREFERRED))


def computes_on_cpu() -> bool:
    """Whether models run on the CPU of this machine."""
    return comfy.model_management.get_torch_device().type == "cpu"


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

    dtype            default, bf16, fp16 or fp32. The default is bfloat16 where the device computes in it, but for
                     weights in FP8, where it is ComfyUI's choice.
    again            reads the generator once more, where ComfyUI needs a copy of the model: on another device, or
                     without dynamic VRAM.
    disable_dynamic  load it without dynamic VRAM.

    Raises ValueError if ComfyUI does not recognise the weights.
    """
    weights = dict(generator.state_dict)
    chosen = _precision_of(weights) if dtype == "default" else DTYPES[dtype]
    options = {} if chosen is None else {"dtype": chosen}
    if chosen in DTYPES.values() and not _in_eight_bits(weights):
        weights = _cast(weights, chosen)
    # what ComfyUI cannot tell from the weights' shapes
    sizes = {name: getattr(generator.config, name) for name in ("text_dim", "freq_dim", "num_heads")}
    metadata = {"config": json.dumps({"transformer": sizes})}
    model = comfy.sd.load_diffusion_model_state_dict(
        weights, model_options=options, metadata=metadata, disable_dynamic=disable_dynamic
    )
    if model is None:
        raise ValueError(
            "ComfyUI does not recognise these weights as a Wan 2.1 model; update ComfyUI to 0.30 or newer."
        )
    if again is not None:
        model.cached_patcher_init = (_copy_of_model, (again, dtype))
    return model


def _precision_of(weights: Mapping[str, Tensor]) -> torch.dtype | None:
    """The precision to load weights in; None: ComfyUI decides, as for numbers of 8 bits."""
    if _in_eight_bits(weights):
        return None
    numbers = sum(tensor.numel() for tensor in weights.values())
    return comfy.model_management.unet_dtype(
        model_params=numbers, supported_dtypes=list(PREFERRED), weight_dtype=comfy.utils.weight_dtype(weights)
    )


def _in_eight_bits(weights: Mapping[str, Tensor]) -> bool:
    return any(tensor.itemsize == 1 for tensor in weights.values())


def _cast(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights in the precision that they are loaded in.

    ComfyUI casts as it loads, but with dynamic VRAM it keeps the file's own: RAM would hold them in float32, and the
    model's size would be told as that.
    """
    keep = [name for name, tensor in weights.items() if name.startswith(IN_FLOAT32) or not tensor.is_floating_point()]
    return {name: tensor if name in keep else tensor.to(dtype) for name, tensor in weights.items()}


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
