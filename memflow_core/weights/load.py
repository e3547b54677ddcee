"""Load weight files as models that are ready to stream."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..model import Backbone, WanModel
from .control import read_control
from .files import check_dtype
from .generator import read_generator
from .lora import read_lora
from .tiny import ASSETS, TINY_GENERATOR, TINY_TEXT, TextEncoder, read_text_encoder


def load_generator(
    path: str | Path,
    *,
    lora: str | Path | None = None,
    control: str | Path | None = None,
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
    control        a VACE module or model that `read_control` reads, whose control part stands beside the generator.
    lora_strength  factor of the LoRA; 0 leaves it out.
    lora_alpha     replaces the LoRA file's alpha; None: the file's, or the rank where the file has none.
    which          of a training checkpoint: `auto` takes the generator, or its running average (EMA) where there is
                   no other; `generator_ema` asks for the average.
    num_heads      needed for heads that are not 128 wide, unless the file has it.
    dtype          of weights and activations: bfloat16, float16 or float32.

    Returns a `Backbone` over a `WanModel` on `device`, without gradients. Nothing of the files stays mapped.
    Raises FileNotFoundError; ValueError for files of another kind, incomplete or damaged ones, and a LoRA or control
    weights of another model.
    """
    check_dtype(dtype)
    weights = read_generator(path, which, num_heads)
    state_dict = weights.state_dict
    if lora is not None:
        state_dict = read_lora(lora).merge(state_dict, lora_strength, lora_alpha, dtype=dtype)
    branch = None if control is None else _load_control(control, weights.config, device, dtype)
    # no time and memory for initial weights
    with torch.device("meta"):
        tree = WanModel(weights.config)
    return Backbone(_filled(tree, state_dict, device, dtype), dtype, control=branch)


def _load_control(path: str | Path, config: ModelConfig, device: torch.device | str, dtype: torch.dtype) -> nn.Module:
    weights = read_control(path)
    weights.check_fits(layers=config.num_layers, dim=config.dim, channels=config.in_channels)
    return _filled(weights.tree(config.num_heads), weights.state_dict, device, dtype)


def _filled(
    tree: nn.Module, state_dict: dict[str, Tensor], device: torch.device | str, dtype: torch.dtype
) -> nn.Module:
    """A tree on the meta device with its numbers, without gradients."""
    tree = tree.to(dtype)
    tree.to_empty(device=device)
    tree.load_state_dict(state_dict)
    return tree.eval().requires_grad_(False)


def load_tiny_generator(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Backbone:
    """Load the bundled tiny story model's generator, as the model that a `Stream` takes.

    It makes latents of 8 x 8, at 16 video frames a second, from prompts that `load_tiny_text_encoder` embeds.
    """
    return load_generator(ASSETS / TINY_GENERATOR, device=device, dtype=dtype)


def load_tiny_text_encoder() -> TextEncoder:
    """Load the bundled tiny story model's text encoder, in float32 on the CPU; its `encode` embeds a prompt."""
    return read_text_encoder(ASSETS / TINY_TEXT)
