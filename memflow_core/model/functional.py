"""Steps of a block that one kernel does where torch has it, on any device and uncompiled.

Modulated layer norm, RMSNorm, feed-forward; and float64 where a device has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tree import Layer, Norm


@dataclass(frozen=True)
class Modulation:
    """Shift, scale and gate of a DiT block, from its timestep: LN(x) * scale + shift, and the result times gate.

    Each [dim] where all frames share the timestep, else [n, 1, dim] with a row for each frame. `scale` holds 1 + the
    model's scale. The output head has no gate.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor | None = None

    @staticmethod
    def of(shift: Tensor, scale: Tensor, gate: Tensor | None = None) -> Modulation:
        """Make one of the model's own shift, scale and gate, each [n, 1, dim]."""
        return Modulation(_one_row(shift), _one_row(1 + scale), None if gate is None else _one_row(gate))

    @property
    def shared(self) -> bool:
        """Whether all frames share the timestep."""
        return self.shift.ndim == 1


def _one_row(part: Tensor) -> Tensor:
    """[dim] where there is one row, else the tensor as it is."""
    return part.flatten() if part.numel() == part.shape[-1] else part


def modulated_norm(norm: Norm, x: Tensor, modulation: Modulation) -> Tensor:
    """LN(x) * scale + shift over x [B, F, tokens, dim], or any [..., dim] where frames share it -> as x."""
    if modulation.shared:
        # they take the place of the kernel's weights: no pass over x of their own
        return F.layer_norm(x, x.shape[-1:], modulation.scale, modulation.shift, norm.eps)
    return torch.addcmul(modulation.shift, norm(x), modulation.scale)


def rms_norm(norm: Layer, x: Tensor) -> Tensor:
    """RMSNorm over the last dimension of x [..., dim] -> as x, which may be overwritten."""
    if type(norm) is nn.RMSNorm and _bypasses_torch(x):
        # torch's own takes twice as long on a CPU
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        mean_square = torch.addcmul(x.new_tensor(norm.eps), length, length, value=1 / x.shape[-1])
        return x.mul_(mean_square.rsqrt_()).mul_(norm.weight)
    return norm(x)


def feed_forward(ffn: nn.Sequential, x: Tensor, batch: int) -> Tensor:
    """Linear, GELU (tanh), Linear over x [..., dim], all tokens of `batch` items -> as x.

    The module runs itself where it can: a plain `Sequential`, one whose forward was made for its own Linears, one whose
    forward was replaced, and any other module in its place. All but the first are given [batch, L, dim], as in ComfyUI.
    A forward that folds the GELU into the call of its second Linear would fail on a Linear of another package, as GGUF
    loaders bring, so there the three steps are called one by one.
    """
    if not isinstance(ffn, nn.Sequential) or len(ffn) != 3 or replaced_forward(ffn) is not None:
        return _by_item(ffn, x, batch)
    widen, _, narrow = ffn
    if type(widen) is nn.Linear and _bypasses_torch(x) and torch.backends.mkldnn.is_available():
        # a GELU on its own takes two fifths of the time of the product before it
        return narrow(torch.ops.mkldnn._linear_pointwise(x, widen.weight, widen.bias, "gelu", [], "tanh"))
    if type(ffn).forward is nn.Sequential.forward:
        return ffn(x)
    if _package(widen) == _package(narrow) == _package(ffn):
        return _by_item(ffn, x, batch)
    return narrow(F.gelu(widen(x), approximate="tanh"))


def _by_item(ffn: Layer, x: Tensor, batch: int) -> Tensor:
    return ffn(x.reshape(batch, -1, x.shape[-1])).view_as(x)


def replaced_forward(module: Any) -> Callable[..., Tensor] | None:
    """The forward that someone put in the place of a module's own; None where it is its class's."""
    forward = getattr(module, "__dict__", {}).get("forward")
    # a patch that was taken back leaves the class's own, bound
    return None if getattr(forward, "__func__", None) is type(module).forward else forward


def _package(module: object) -> str:
    return type(module).__module__.partition(".")[0]


def _bypasses_torch(x: Tensor) -> bool:
    """Whether to replace torch's slow CPU kernels: float32, no gradients. A compiler replaces them by itself."""
    eager = not (torch.compiler.is_compiling() or torch.is_grad_enabled())
    return eager and x.device.type == "cpu" and x.dtype == torch.float32


def widest(device: torch.device | str) -> torch.dtype:
    """The widest floating point dtype of a device: float64, or float32 where it has none, as Apple's and Intel Arc."""
    return torch.float64 if _has_float64(torch.device(device)) else torch.float32


@cache
def _has_float64(device: torch.device) -> bool:
    if device.type in ("cpu", "meta"):
        return True
    # these do not raise at once, but later or in silence: Apple's, DirectML, Iluvatar's under the name of cuda
    if device.type in ("mps", "privateuseone") or hasattr(torch, "corex"):
        return False
    if device.type == "xpu" and not getattr(torch.xpu.get_device_properties(device), "has_fp64", True):
        return False
    try:
        # arithmetic too, since some devices can hold such numbers and no more
        return float((torch.ones(2, dtype=torch.float64, device=device) * 0.5).sum()) == 1.0
    except (RuntimeError, TypeError, NotImplementedError, AssertionError):
        return False
