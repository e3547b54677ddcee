"""Load weight files as models that are ready to stream."""

from __future__ import annotations

from pathlib import Path

import torch

from ..model import Backbone, WanModel
from .files import check_dtype
from .generator import read_generator
from .lora import read_lora
from .tiny import ASSETS, TINY_GENERATOR, TINY_TEXT, TextEncoder, read_text_encoder


def load_generator(
    path: str | Path,
    *,
    lora: str | Path | None = None,
    lora_strength: float = 1.0,
    lora_alpha: float | None = None,
    which: str = "auto",
    num_heads: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Backbone:
    """Load a generator, with a LoRA merged into it, as the model that a `Stream` takes.

    path           a .safetensors or .pt file of any dialect that `read_generator` reads.
    lora           a .safetensors or .pt file that `read_lora` reads; merged in float32 or better, then rounded once.
    lora_strength  factor of the LoRA; 0 leaves it out.
    lora_alpha     replaces the LoRA file's alpha; None: the file's, or the rank where the file has none.
    which          of a training checkpoint: `auto` takes the generator, or its running average (EMA) where there is
                   no other; `generator_ema` asks for the average.
    num_heads      needed for heads that are not 128 wide, unless the file has it.
    dtype          of weights and activations: bfloat16, float16 or float32.

    Returns a `Backbone` over a `WanModel` on `device`, without gradients. Nothing of the files stays mapped.
    Raises FileNotFoundError; ValueError for files of another kind, incomplete or damaged ones, and a LoRA of another
    model.
    """
    check_dtype(dtype)
    weights = read_generator(path, which, num_heads)
    state_dict = weights.state_dict
    if lora is not None:
        state_dict = read_lora(lora).merge(state_dict, lora_strength, lora_alpha, dtype=dtype)
    # no time and memory for initial weights
    with torch.device("meta"):
        tree = WanModel(weights.config).to(dtype)
    tree.to_empty(device=device)
    tree.load_state_dict(state_dict)
    return Backbone(tree.eval().requires_grad_(False), dtype)


def load_tiny_generator(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Backbone:
    """Load the bundled tiny story model's generator, as the model that a `Stream` takes.

    It makes latents of 8 x 8, at 16 video frames a second, from prompts that `load_tiny_text_encoder` embeds.
    """
    return load_generator(ASSETS / TINY_GENERATOR, device=device, dtype=dtype)


def load_tiny_text_encoder() -> TextEncoder:
    """Load the bundled tiny story model's text encoder, in float32 on the CPU; its `encode` embeds a prompt."""
    return read_text_encoder(ASSETS / TINY_TEXT)
