"""Recognise a weight file of the wrong kind by the names of its tensors.

The functions return the end of an error message: what the file is, and what to do with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LORA = r"\.lora_(?:A|B|down|up|magnitude_vector)\b|^lora_unet_|\.hada_w1_|\.lokr_w"

# (pattern of a tensor name, what a file with such a tensor is); the first match wins
_KINDS = (
    (
        r"\.base_layer\.weight$",
        "is a model with a LoRA in it that is not merged: load model and LoRA from a file each.",
    ),
    (LORA, "is a LoRA: load it as a LoRA, on top of a generator."),
    (r"^(?:mean_k|recent)$", "is the saved state of a stream: load it as a state, not as a model."),
    (
        r"^condition_embedder\.|^blocks\.0\.attn1\.to_q\.",
        "is a Wan model in diffusers layout: use the file in Wan's own or ComfyUI's layout.",
    ),
    (
        r"^(?:shared|token_embedding)\.weight$|^encoder\.block\.0\.layer\.0\.|^text_model\."
        r"|^layers\.0\.self_attn\.q_proj\.",
        "is a text encoder: load it with a CLIP loader.",
    ),
    (r"^vision_model\.|^visual\.", "is a CLIP vision model: text-to-video needs none."),
    (
        r"^(?:first_stage_model\.|vae\.)?decoder\.(?:middle|mid|up|mid_block|up_blocks|conv_in|\d+)\.",
        "is a VAE: load it with a VAE loader.",
    ),
    (r"^double_blocks\.0\.img_attn[._]", "is a Flux or HunyuanVideo model, not a Wan one."),
    (r"^input_blocks\.0\.|^down_blocks\.0\.", "is a Stable Diffusion or SDXL model, not a Wan one."),
    (r"^joint_blocks\.0\.", "is a Stable Diffusion 3 model, not a Wan one."),
    (
        r"^(?:transformer_blocks|single_transformer_blocks)\.0\.",
        "is a diffusion model of another family, not a Wan one.",
    ),
    (r"^control_model\.|^controlnet_", "is a ControlNet, not a generator."),
    (
        r"^(?:critic|fake_score|real_score)\.",
        "holds only the critic of a training run: use the file with its generator.",
    ),
    (
        r"(?:^|\.)exp_avg(?:_sq)?$",
        "holds only the optimizer of a training run: use the file with its generator.",
    ),
)

VACE = "VACE"

# (pattern of a tensor name, variant): Wan models that need more than text
_WAN_VARIANTS = (
    (r"^vace_", VACE),
    (r"^control_adapter\.", "camera control"),
    (r"^casual_audio_encoder\.", "speech-to-video"),
    (r"^audio_proj\.", "audio-driven (HuMo)"),
    (r"^face_adapter\.", "Animate"),
    (r"^patch_embedding_(?:mask|pose|global)\.", "pose or dance control"),
    (r"^ref_conv\.", "reference control"),
)

_WAN_SIZES = {1536: "1.3B", 3072: "5B", 5120: "14B"}


def is_wan(keys: Iterable[str]) -> bool:
    """Whether tensor names (without the prefixes of wrappers) look like those of a Wan model, complete or not."""
    return any(re.search(r"^(?:patch_embedding|blocks\.\d+\.self_attn\.q|head\.head)\.weight$", key) for key in keys)


def other_kind(keys: Iterable[str]) -> str | None:
    """What a file with these tensor names is, if it is no Wan model: "is a VAE: ..."; None if no name is known.

    keys  without the prefixes of wrappers.
    """
    keys = list(keys)
    kind = next((kind for pattern, kind in _KINDS if any(re.search(pattern, key) for key in keys)), None)
    if kind is not None or is_wan(keys):
        return kind
    part = _variant(keys)
    beside = ", and this file as control weights beside it" if part == VACE else ""
    return part and f"is the {part} part of a Wan model, without a generator: use a text-to-video one{beside}."


def other_wan(keys: Iterable[str], dim: int, in_channels: int, out_channels: int) -> str | None:
    """What a Wan model is that makes video from more than text, as in `other_kind`; None for a text-to-video model."""
    keys = list(keys)
    size = _WAN_SIZES.get(dim, f"{dim}-wide")
    variant = _variant(keys)
    if variant is not None:
        beside = ", and this file as control weights beside it" if variant == VACE else ""
        return f"is a {size} Wan {variant} checkpoint: use a text-to-video one{beside}."
    if in_channels == 36 or any(key.startswith("img_emb.") or ".k_img." in key for key in keys):
        return f"is a {size} I2V checkpoint: {in_channels} input channels; use a text-to-video one."
    if in_channels != out_channels:
        return (
            f"is a {size} Wan checkpoint for inpainting or control: {in_channels} input channels, but "
            f"{out_channels} output channels; use a text-to-video one."
        )
    return None


def _variant(keys: list[str]) -> str | None:
    return next((name for pattern, name in _WAN_VARIANTS if any(re.search(pattern, key) for key in keys)), None)
