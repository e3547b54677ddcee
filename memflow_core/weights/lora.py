"""Read LoRA files and merge them into a generator: W + strength * (alpha / rank) * B A, for linear layers.

Dialects, where `<module>` is a linear layer in plain Wan names, such as `blocks.0.self_attn.q`:

    generator_lora.base_model.model.<module>.lora_A.weight    `lora.pt` of MemFlow and LongLive (PEFT's names)
    base_model.model.<module>.lora_A[.<adapter>].weight       PEFT
    diffusion_model.<module>.lora_A.weight or .lora_down.weight, with .alpha    ComfyUI
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .detect import LORA, is_wan, other_kind
from .files import FLOATS, check_finite, join_names, read_checkpoint, strip_wrappers

_PREFIX = re.compile(r"^(?:(?:generator(?:_lora|_ema)?|state_dict|base_model|model|diffusion_model|module)\.)+")
_HALF = re.compile(r"^(?P<module>.+)\.lora_(?P<half>A|B|down|up)(?:\.[\w-]+)?\.weight$")


@dataclass(frozen=True)
class LoraLayer:
    """The change of one linear layer.

    down   [rank, in], PEFT's A.
    up     [out, rank], PEFT's B.
    alpha  of the file, where it has one.
    """

    down: Tensor
    up: Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """Rows of `down`, columns of `up`."""
        return self.down.shape[0]

    def scale(self, alpha: float | None) -> float:
        """alpha / rank; the given alpha before the file's, and the rank where there is neither."""
        alpha = self.alpha if alpha is None else alpha
        return 1.0 if alpha is None else alpha / self.rank


@dataclass(frozen=True)
class Lora:
    """A LoRA as read from a file.

    name    of the file, for messages.
    layers  by the module that they change, in plain Wan names: `blocks.0.self_attn.q`.
    """

    name: str
    layers: dict[str, LoraLayer]

    def merge(
        self,
        state_dict: Mapping[str, Tensor],
        strength: float = 1.0,
        alpha: float | None = None,
        *,
        dtype: torch.dtype | None = None,
    ) -> dict[str, Tensor]:
        """Add the LoRA to a state dict, computed in float32 or better and rounded once.

        state_dict  a generator's weights in plain Wan keys. It is not changed; weights without a LoRA layer are
                    shared with the result.
        strength    factor of the LoRA; 0 gives the same weights, bit for bit.
        alpha       the training's `lora_alpha`, which PEFT keeps in a config instead of the file. It replaces the
                    file's; None: the file's, or the rank where the file has none.
        dtype       of the changed weights; None: each weight's own.

        Returns the merged state dict. Raises ValueError if the LoRA belongs to another model, or for a strength or
        alpha that is no number.
        """
        _check_number("LoRA strength", strength)
        _check_alpha(alpha)
        self.check_fits(state_dict)
        merged = dict(state_dict)
        if strength == 0:
            return merged
        for module, layer in self.layers.items():
            weight = state_dict[f"{module}.weight"]
            wide = torch.promote_types(weight.dtype, torch.float32)
            down, up = (half.to(weight.device, wide) for half in (layer.down, layer.up))
            changed = weight.to(wide) + strength * layer.scale(alpha) * (up @ down)
            merged[f"{module}.weight"] = changed.to(dtype or weight.dtype)
        return merged

    def to_comfy_keys(self, alpha: float | None = None) -> dict[str, Tensor]:
        """The LoRA in the names that ComfyUI's own LoRA loading reads; alpha as in `merge`."""
        _check_alpha(alpha)
        renamed: dict[str, Tensor] = {}
        for module, layer in self.layers.items():
            renamed[f"diffusion_model.{module}.lora_A.weight"] = layer.down
            renamed[f"diffusion_model.{module}.lora_B.weight"] = layer.up
            renamed[f"diffusion_model.{module}.alpha"] = torch.tensor(layer.scale(alpha) * layer.rank)
        return renamed

    def check_fits(self, state_dict: Mapping[str, Tensor]) -> None:
        """Raise ValueError if the LoRA changes layers that these weights do not have, or in other shapes."""
        unknown = [module for module in self.layers if f"{module}.weight" not in state_dict]
        if unknown:
            raise ValueError(
                f"{self.name} is a LoRA for another model: it changes {join_names(unknown)}, which the "
                "generator does not have."
            )
        for module, layer in self.layers.items():
            weight = state_dict[f"{module}.weight"]
            change = (layer.up.shape[0], layer.down.shape[1])
            if weight.shape != change:
                raise ValueError(
                    f"{self.name} is a LoRA for another model: it changes {module} as {list(change)}, but "
                    f"the generator's is {list(weight.shape)}."
                )


def read_lora(path: str | Path) -> Lora:
    """Read a LoRA from a .safetensors or .pt file of any dialect, and check that it is whole.

    Raises FileNotFoundError; ValueError for a file of another kind, or one that is incomplete or damaged.
    """
    tensors = read_checkpoint(path).tensors
    name = Path(path).name
    plain = _plain_keys(name, tensors)
    halves, alphas = _split_halves(name, plain)
    lora = Lora(name, dict(_pair_halves(name, halves, alphas)))
    check_finite(name, plain)
    return lora


def _plain_keys(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The generator's LoRA tensors without prefixes: `<module>.lora_A.weight`, `<module>.alpha` ..."""
    chosen = [key for key in tensors if key.startswith("generator_lora.")] or list(tensors)
    plain = {strip_wrappers(key, _PREFIX): tensors[key] for key in chosen}
    if not any(re.search(LORA, key) for key in plain):
        raise ValueError(f"{name} {_describe_other(plain)}")
    if all(key.startswith("critic_lora.") for key in plain):
        raise ValueError(f"{name} holds only the critic's LoRA of a training run: use the file with generator_lora.")
    if len(plain) < len(chosen):
        raise ValueError(f"{name} holds the same LoRA layer twice, under different prefixes.")
    return plain


def _describe_other(plain: Mapping[str, Tensor]) -> str:
    if is_wan(plain):
        return "is a model, not a LoRA: load it as the generator."
    return other_kind(plain) or f"is not a LoRA: it holds {join_names(list(plain)) or 'no tensors'}."


def _split_halves(name: str, plain: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
    """Split into {module: {"down", "up"}} and {module: alpha}."""
    halves: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for key, tensor in plain.items():
        match = _HALF.match(key)
        if match is None and key.endswith(".alpha") and tensor.numel() == 1:
            alphas[key.removesuffix(".alpha")] = tensor.item()
        elif match is None or key.startswith("lora_unet_"):
            raise ValueError(
                f"{name} holds {key}, which is no plain LoRA layer: load it with ComfyUI's own LoRA loader."
            )
        else:
            half = "down" if match["half"] in ("A", "down") else "up"
            pair = halves.setdefault(match["module"], {})
            if half in pair:
                raise ValueError(f"{name} holds more than one LoRA: {match['module']} has a second one.")
            pair[half] = tensor
    return halves, alphas


def _pair_halves(
    name: str, halves: Mapping[str, Mapping[str, Tensor]], alphas: Mapping[str, float]
) -> Iterator[tuple[str, LoraLayer]]:
    """(module, its layer), each pair of halves checked."""
    for module, pair in halves.items():
        if len(pair) < 2:
            raise ValueError(f"{name} is not whole: {module} has only lora_{'A' if 'down' in pair else 'B'}.")
        down, up = pair["down"], pair["up"]
        if not {down.dtype, up.dtype} <= set(FLOATS):
            raise ValueError(f"{name} is quantised ({module}): use the bf16, fp16 or fp32 file of the LoRA.")
        if down.ndim != 2 or up.ndim != 2 or up.shape[1] != down.shape[0] or not up.shape[1]:
            raise ValueError(
                f"{name} does not fit together: {module} has lora_A {list(down.shape)} and lora_B {list(up.shape)}."
            )
        yield module, LoraLayer(down, up, alphas.get(module))
    orphans = [module for module in alphas if module not in halves]
    if orphans:
        raise ValueError(f"{name} is not whole: {join_names(orphans)} has an alpha, but no weights.")


def _check_number(what: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}, but must be a finite number.")


def _check_alpha(alpha: float | None) -> None:
    if alpha is not None:
        _check_number("LoRA alpha", alpha)
        if alpha <= 0:
            raise ValueError(f"LoRA alpha is {alpha}, but must be above 0.")
