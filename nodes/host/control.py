"""Control weights beside a `MODEL`: the VACE part as modules of ComfyUI, with its casting and offloading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.model_patcher
import comfy.ops
import torch
from comfy.ldm.wan.model import VaceWanAttentionBlock
from torch import nn

from ...memflow_core.keep import tree_fingerprint
from .honoured.model import CONTROL
from .honoured.tree import tree_to_load
from .models import dtype_of


def with_control(model: Any, again: Callable[[], Any]) -> Any:
    """A copy of a `MODEL` that carries control weights.

    They come along with LoRA loaders and other nodes behind.

    again  reads them, as the core's `read_control` does: now, and where ComfyUI needs a copy, on another device or
           without dynamic VRAM.

    Raises ValueError for weights of another model's size.
    """
    weights = again()
    with tree_to_load(model) as tree:
        first = tree.blocks[0]
        dim = first.modulation.shape[-1]
        channels = tree.patch_embedding.weight.shape[1]
        weights.check_fits(layers=len(tree.blocks), dim=dim, channels=channels)
        heads = first.self_attn.num_heads
    sizes = (heads, dtype_of(model), model.load_device, model.offload_device)
    patcher = _patcher(weights, *sizes)
    patcher.cached_patcher_init = (_copy_of_patcher, (again, *sizes))
    carrying = model.clone()
    carrying.set_additional_models(CONTROL, [patcher])
    return carrying


@dataclass(frozen=True)
class ControlUse:
    """What a run uses of control.

    vae     the `VAE` that encodes its pictures.
    steers  whether the control weights beside the model are used: not where chunks are only made from pictures.
    """

    vae: Any
    steers: bool

    def patchers(self, model: Any) -> list[Any]:
        """Patchers of what is used beside a `MODEL`."""
        weights = control_of(model) if self.steers else None
        return [self.vae.patcher, *([] if weights is None else [weights])]


def control_of(model: Any) -> Any:
    """The patcher of the control weights that a `MODEL` carries; None for none."""
    return next(iter(model.get_additional_models_with_key(CONTROL)), None)


def control_tree(model: Any) -> nn.Module | None:
    """The modules of the control weights that a `MODEL` carries; None for none."""
    patcher = control_of(model)
    return None if patcher is None else patcher.model


def control_size(model: Any) -> tuple[int, int]:
    """Blocks of the control weights that a `MODEL` carries, and bytes of their weights; zeros for none."""
    patcher = control_of(model)
    return (0, 0) if patcher is None else (len(patcher.model.vace_blocks), patcher.model_size())


def control_fingerprint(model: Any) -> str:
    """Fingerprint the control weights that a `MODEL` carries; "" for none."""
    tree = control_tree(model)
    return "" if tree is None else tree_fingerprint(tree)


def _patcher(
    weights: Any,
    heads: int,
    dtype: torch.dtype,
    load: torch.device,
    offload: torch.device,
    disable_dynamic: bool = False,
) -> Any:
    """ComfyUI's patcher of a network of these weights. load, offload: devices. disable_dynamic: of `host.wan_model`."""
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    return kind(_network(weights, heads, dtype), load_device=load, offload_device=offload)


def _copy_of_patcher(again: Callable[[], Any], *sizes: Any, disable_dynamic: bool = False) -> Any:
    patcher = _patcher(again(), *sizes, disable_dynamic=disable_dynamic)
    patcher.cached_patcher_init = (_copy_of_patcher, (again, *sizes))
    return patcher


def _network(weights: Any, heads: int, dtype: torch.dtype) -> nn.Module:
    network = _Control(weights, heads, dtype)
    network.load_state_dict({key: tensor.to(dtype) for key, tensor in weights.state_dict.items()})
    return network.eval().requires_grad_(False)


class _Control(nn.Module):
    """A control branch of ComfyUI's own modules, in the precision that the model computes in."""

    def __init__(self, weights: Any, heads: int, dtype: torch.dtype):
        super().__init__()
        operations, device = comfy.ops.manual_cast, torch.device("cpu")
        settings = {"operations": operations, "device": device, "dtype": dtype}
        patch = (1, 2, 2)
        self.vace_patch_embedding = operations.Conv3d(
            weights.channels, weights.dim, kernel_size=patch, stride=patch, device=device, dtype=dtype
        )
        self.vace_blocks = nn.ModuleList(
            VaceWanAttentionBlock(
                "t2v_cross_attn",
                weights.dim,
                weights.ffn_dim,
                heads,
                cross_attn_norm=True,
                block_id=number,
                operation_settings=settings,
            )
            for number in range(weights.blocks)
        )
