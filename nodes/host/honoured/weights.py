"""LoRA hooks on a CONDITIONING: weights that the model has under one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from comfy.hooks import EnumHookMode, EnumHookType, EnumWeightTarget, HookGroup, create_target_dict
from torch import Tensor

from .findings import KEYFRAMES, UNUSED, Finding

_SAMPLED = 4096  # numbers of a tensor that go into its name
_KINDS = {
    EnumHookType.ObjectPatch: "object patches",
    EnumHookType.AdditionalModels: "additional models",
    EnumHookType.TransformerOptions: "transformer options",
    EnumHookType.Injections: "injections",
}


@dataclass(frozen=True)
class WeightHooks:
    """Hooks that change the model's weights.

    name   the same for the same weights and strengths, in any session: states know them by it.
    group  ComfyUI's hooks, of that kind alone.
    """

    name: str
    group: HookGroup


def read_hooks(hooks: HookGroup | None) -> tuple[WeightHooks | None, tuple[Finding, ...]]:
    """The weight hooks of a group, and what else it holds."""
    if hooks is None:
        return None, ()
    weights, found = HookGroup(), []
    for hook in hooks.hooks:
        if hook.hook_type != EnumHookType.Weight:
            kind = _KINDS.get(hook.hook_type, "an unknown kind")  # type: ignore[call-overload]
            found.append(Finding(UNUSED, f"hooks: {kind}"))
        elif hook_strength(hook):
            weights.add(hook)
        if len({keyframe.strength for keyframe in hook.hook_keyframe.keyframes}) > 1:
            found.append(Finding(KEYFRAMES, "hooks: keyframes", "Set Hook Keyframes"))
    return (WeightHooks(_name(weights), weights) if len(weights) else None), tuple(found)


def with_weights(hooks: WeightHooks | None, group: HookGroup) -> WeightHooks:
    """Weight hooks with those of a group besides, in order."""
    both = HookGroup()
    for hook in (*(() if hooks is None else hooks.group.hooks), *group.hooks):
        both.add(hook)
    return WeightHooks(_name(both), both)


def hooks_of_clip(clip: Any) -> tuple[Finding, ...]:
    """What a `CLIP` for live prompts adds to them for nothing: they have the weights of the segment they fall into."""
    hooks = getattr(clip, "apply_hooks_to_conds", None)
    return () if not hooks else (Finding(UNUSED, "hooks on the clip of live prompts", "Set CLIP Hooks"),)


def model_for_hooks(model: Any) -> Any:
    """The same `MODEL`, or a copy without dynamic VRAM, as ComfyUI's samplers make one, where it is loaded with that.

    Raises ValueError if its loader has no way to make one.
    """
    if not model.is_dynamic():
        return model
    try:
        return model.clone(disable_dynamic=True)
    except RuntimeError as error:
        raise ValueError(
            "LoRA hooks need a model without dynamic VRAM, which the model's loader cannot give: use Load Diffusion "
            "Model or MemFlow Load Model, or start ComfyUI with --disable-dynamic-vram."
        ) from error


class HookedWeights:
    """The weights of a `MODEL`, one set by name at a time: `model.WeightSets` for the core.

    A name that no hooks have stands for the model's own weights.
    """

    def __init__(self, model: Any, hooks: Mapping[str, WeightHooks]):
        self._model = model
        self._groups = {name: hooked.group for name, hooked in hooks.items()}
        self._current = ""
        self._mode = model.hook_mode

    def register(self) -> None:
        """Make the hooks known to the model, before it is loaded, as ComfyUI's samplers do."""
        if not self._groups:
            return
        every = HookGroup()
        for group in self._groups.values():
            for hook in group.hooks:
                hook.reset()
                every.add(hook)
        # weights change a few times in a story: no copies of them are kept
        self._model.set_hook_mode(EnumHookMode.MinVram)
        self._model.register_all_hook_patches(
            every, create_target_dict(EnumWeightTarget.Model), self._model.model_options
        )

    def forget(self) -> None:
        """Take `register` back. The model's own `cleanup` takes the weights out."""
        if self._groups:
            self._model.restore_hook_patches()
            self._model.set_hook_mode(self._mode)

    def select(self, name: str) -> None:
        """Patch the weights of that name into the model."""
        self._current = name
        self._model.apply_hooks(self._groups.get(name))

    def restore(self) -> None:
        """Patch the current weights again, after the model was loaded anew."""
        self.select(self._current)


def hook_strength(hook: Any) -> float:
    """The strength that a stream gives the weights of a hook: its first one."""
    keyframes = hook.hook_keyframe.keyframes
    return float(hook._strength_model * (keyframes[0].strength if keyframes else 1.0))


def _name(group: HookGroup) -> str:
    if not len(group):
        return ""
    digest = blake2b(digest_size=12)
    for hook in group.hooks:
        digest.update(repr(hook_strength(hook)).encode())
        _add(digest, hook.weights)
    return f"hooks {digest.hexdigest()}"


def _add(digest: Any, value: Any) -> None:
    """Add weights to a digest: the names and shapes of all, and some of the numbers of each."""
    if isinstance(value, Mapping):
        for name in sorted(value, key=str):
            digest.update(str(name).encode())
            _add(digest, value[name])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _add(digest, item)
    elif isinstance(value, Tensor):
        numbers = value.detach().flatten()
        sampled = numbers[:: max(1, len(numbers) // _SAMPLED)].to("cpu", torch.float32)
        digest.update(repr(tuple(value.shape)).encode() + sampled.numpy().tobytes())
    else:
        digest.update(repr(value).encode())
