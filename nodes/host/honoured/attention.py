"""What ComfyUI's attention is told, and cross-attentions that a node puts in the place of the model's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ....memflow_core.model import CrossAttention, WanTree, replaced_forward
from .model import ATTENTION_OVERRIDE, TRANSFORMER_OPTIONS

TRAIN_STEPS = 1000


class AttentionOptions:
    """The `transformer_options` of one run, kept as ComfyUI's Wan model keeps them: a `model.PassListener`.

    sample_sigmas [steps + 1] and sigmas [1] float32 from 1 (noise) to 0, block_index, block_type, total_blocks,
    grid_sizes (latent frames, rows, columns), and cond_or_uncond, [0], since there is no negative prompt.
    """

    def __init__(self, model: Any, tree: WanTree, timesteps: Sequence[float]):
        self._device = model.load_device
        sigmas = torch.tensor([*timesteps, 0.0], dtype=torch.float32) / TRAIN_STEPS
        self.options: dict[str, Any] = {
            **model.model_options.get(TRANSFORMER_OPTIONS, {}),
            "cond_or_uncond": [0],
            "sample_sigmas": sigmas.to(self._device),
            "sigmas": sigmas[:1].to(self._device),
            "total_blocks": len(tree.blocks),
            "block_type": "double",
            "block_index": 0,
        }

    def on_pass(self, timestep: float, grid: tuple[int, int, int]) -> None:
        sigma = torch.tensor([timestep / TRAIN_STEPS], dtype=torch.float32)
        self.options["sigmas"] = sigma.to(self._device)
        self.options["grid_sizes"] = torch.Size(grid)

    def on_block(self, layer: int) -> None:
        self.options["block_index"] = layer


def attention_of(model: Any, options: dict[str, Any] | None = None) -> Callable[..., Tensor]:
    """ComfyUI's attention, with any override that a node put on the model: q, k, v [B, heads, L, head_dim] -> same.

    options  what an override reads; None: the model's `transformer_options`.
    """
    if not has_override(model):
        # always the same object, so that it is timed once
        return _comfy_attention
    told = model.model_options[TRANSFORMER_OPTIONS] if options is None else options
    # the options change from block to block, which no compiled code can follow
    return torch.compiler.disable(partial(_comfy_attention, transformer_options=told))


def reader_of(model: Any) -> str:
    """How attention reads the frames that SMA chose: `fastest`, or `gather`, through a node's override on the model."""
    return "gather" if has_override(model) else "fastest"


def has_override(model: Any) -> bool:
    """Whether a node put an attention of its own on a `MODEL`."""
    return ATTENTION_OVERRIDE in model.model_options.get(TRANSFORMER_OPTIONS, {})


def cross_attention_of(tree: WanTree, options: dict[str, Any]) -> dict[int, CrossAttention]:
    """By layer, the forwards that nodes such as WanVideoNAG put in the place of cross-attention.

    tree  of a model that is loaded, with its object patches.
    """
    replaced = {layer: replaced_forward(block.cross_attn) for layer, block in enumerate(tree.blocks)}
    return {
        layer: torch.compiler.disable(_as_in_wan(forward, options))
        for layer, forward in replaced.items()
        if forward is not None
    }


def _as_in_wan(forward: Callable[..., Tensor], options: dict[str, Any]) -> CrossAttention:
    """A forward with the arguments that ComfyUI's block gives it."""

    def attend(x: Tensor, text: Tensor) -> Tensor:
        return forward(x, text, context_img_len=None, transformer_options=options)

    return attend


def _comfy_attention(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    return optimized_attention(q, k, v, heads=q.shape[1], skip_reshape=True, skip_output_reshape=True, **options)
