"""Check whether a run fits on its device, before its first chunk.

ComfyUI can keep weights in RAM and bring them over when they are needed, which takes time. The cache, the work of a
pass and what a decode carries have to be on the device.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...memflow_core.estimate import Footprint
from ...memflow_core.profiles import AUTO
from ...memflow_core.schedule import Plan
from .. import host
from .estimate import estimate_run
from .memory_settings import memory_of
from .plan_text import in_gb
from .presets import PRESETS, Preset
from .request import Request


def check_budget(request: Request, plan: Plan, footprint: Footprint, vae: Any) -> str | None:
    """Return a sentence where weights do not fit, since that makes a run slower; else None.

    Raises ValueError where the rest does not fit, with the preset that does.
    """
    room = host.room(request.model)
    if room is None or footprint.device_bytes <= room:
        return None
    needed, has = in_gb(footprint.fixed_bytes), in_gb(room)
    if footprint.fixed_bytes > room:
        raise ValueError(
            f"the run needs about {needed} of VRAM beside all weights, but ComfyUI can free no more than {has} on this "
            f"device: {_advice(request, plan, vae, room)}."
        )
    missing = in_gb(footprint.device_bytes - room)
    return (
        f"About {missing} of weights do not fit into the {has} of VRAM that there are, and are fetched from RAM in "
        f"every pass, which is slower: a model in FP8 takes half as much, and fp8 as MemFlow Memory's cache too."
    )


def _advice(request: Request, plan: Plan, vae: Any, room: int) -> str:
    smaller = "make the picture, or the window and the bank of MemFlow Memory, smaller"
    if request.state is not None:
        return f"a story that goes on keeps its size, so start it anew, and {smaller}"
    fitting = [name for name, preset in PRESETS.items() if _fits(request, plan, vae, preset, room)]
    return f"choose the preset {max(fitting, key=lambda name: PRESETS[name].pixels)!r}" if fitting else smaller


def _fits(request: Request, plan: Plan, vae: Any, preset: Preset, room: int) -> bool:
    try:
        return _fixed_bytes(request, plan, vae, preset) <= room
    except ValueError:
        # its size or its memory is none for this model
        return False


def _fixed_bytes(request: Request, plan: Plan, vae: Any, preset: Preset) -> int:
    memory = memory_of({"preset": preset.memory}, cache=preset.cache, bank_keys=AUTO, archive=AUTO)
    other = replace(request, width=preset.width, height=preset.height, memory=memory)
    return estimate_run(other, plan, vae).fixed_bytes
