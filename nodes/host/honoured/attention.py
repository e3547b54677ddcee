"""What ComfyUI's attention is told, and cross-attentions that a node puts in the place of the model's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from inspect import Parameter, signature
from typing import Any

import comfy.ldm.modules.attention
import comfy.ldm.wan.model
import torch
from torch import Tensor

from ....memflow_core.model import CrossAttention, WanTree, replaced_forward
from .model import ATTENTION_OVERRIDE, TRANSFORMER_OPTIONS

TRAIN_STEPS = 1000
_COMFY = comfy.ldm.modules.attention.__name__


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

    It is the one that ComfyUI's Wan model calls, which some packs replace.

    options  what an override reads; None: the model's `transformer_options`.
    """
    attention = _attend_with(comfy.ldm.wan.model.optimized_attention)
    if not has_override(model):
        return attention
    told = model.model_options[TRANSFORMER_OPTIONS] if options is None else options
    # the options change from block to block, which no compiled code can follow
    return torch.compiler.disable(partial(attention, transformer_options=told))


def dense_of(model: Any) -> str:
    """What self-attention uses: `fastest`, or `own` where the attention is a user's choice, or another pack's.

    ComfyUI asks torch for FlashAttention 2 first, which on some GPUs is half as fast as cuDNN.
    """
    usual = getattr(comfy.ldm.modules.attention, "attention_pytorch", None)
    chosen = has_override(model) or comfy.ldm.wan.model.optimized_attention is not usual
    # which one is fastest is measured, and could differ from start to start
    return "own" if chosen or torch.are_deterministic_algorithms_enabled() else "fastest"


def reader_of(model: Any) -> str:
    """How attention reads the frames that SMA chose: `fastest`, or `gather`, through an attention of other code."""
    return "gather" if has_override(model) or _is_foreign(comfy.ldm.wan.model.optimized_attention) else "fastest"


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


@cache
def _attend_with(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function with the arguments of ComfyUI's attention, as one of q, k, v [B, heads, L, head_dim] -> same.

    Always the same object for the same function, so that it is timed once.
    """
    asked = {"skip_reshape": True}
    if keeps_heads := _takes(function, "skip_output_reshape"):
        asked["skip_output_reshape"] = True

    def attend(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        out = function(q, k, v, heads=q.shape[1], **asked, **options)
        return out if keeps_heads else out.unflatten(-1, (q.shape[1], -1)).transpose(1, 2)

    return torch.compiler.disable(attend) if _is_foreign(function) else attend


def _takes(function: Callable[..., Tensor], name: str) -> bool:
    parameters = signature(function).parameters
    return name in parameters or any(kind.kind is Parameter.VAR_KEYWORD for kind in parameters.values())


def _is_foreign(function: Any) -> bool:
    """Whether an attention is not ComfyUI's own, which may be asked for by a launch option."""
    return getattr(function, "__module__", None) != _COMFY
