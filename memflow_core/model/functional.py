"""Steps of a block that one kernel does where torch has it, on any device and with nothing to compile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Modulation:
    """What a timestep does to a norm's output, and to what is made of it: LN(x) scale + shift, times gate.

    Each [rows, 1, dim], with one row where all frames share the timestep, else one a frame; the head has no gate.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor | None = None


def modulated_norm(norm: nn.Module, x: Tensor, by: Modulation) -> Tensor:
    """LN(x) scale + shift over x [B, F, tokens, dim], for a layer norm that has no weights of its own."""
    if by.shift.numel() == x.shape[-1]:
        # what all frames share is to the kernel as weights are: no pass over x of its own
        return F.layer_norm(x, x.shape[-1:], by.scale.flatten(), by.shift.flatten(), norm.eps)
    return torch.addcmul(by.shift, norm(x), by.scale)


def rms_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """RMSNorm over x [..., dim], which may be overwritten."""
    if type(norm) is nn.RMSNorm and _plain_cpu(x):
        # torch's own takes twice as long on a CPU
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        mean_square = torch.addcmul(x.new_tensor(norm.eps), length, length, value=1 / x.shape[-1])
        return x.mul_(mean_square.rsqrt_()).mul_(norm.weight)
    return norm(x)


def feed_forward(ffn: nn.Sequential, x: Tensor) -> Tensor:
    """Linear, GELU (tanh), Linear over x [..., dim]."""
    widen, _, narrow = ffn
    if type(widen) is nn.Linear and _plain_cpu(x) and torch.backends.mkldnn.is_available():
        # a GELU on its own takes as long as two fifths of the product before it
        return narrow(torch.ops.mkldnn._linear_pointwise(x, widen.weight, widen.bias, "gelu", [], "tanh"))
    return ffn(x)


def _plain_cpu(x: Tensor) -> bool:
    """Whether to go round what torch does slowly there. A compiler does so by itself; and there are no gradients."""
    asked = not (torch.compiler.is_compiling() or torch.is_grad_enabled())
    return asked and x.device.type == "cpu" and x.dtype == torch.float32


def widest(device: torch.device | str) -> torch.dtype:
    """float64, or float32 on Apple's MPS, which has nothing wider."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64
