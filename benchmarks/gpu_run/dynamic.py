"""Write films with dynamic VRAM, in a process of its own: `python -m benchmarks.gpu_run.dynamic FILE [--tiny]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from ..in_comfyui import comfyui_folder, pack_nodes
from .bench import Bench
from .disk import disk


def start_dynamic_vram() -> None:
    """Do what ComfyUI's own start does for dynamic VRAM. Raises RuntimeError where it cannot be had."""
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher
    import comfy_aimdo.control

    indices = [device.index or 0 for device in comfy.model_management.get_all_torch_devices()]
    try:
        ready = comfy_aimdo.control.init_devices((index, 0) for index in indices)
    except TypeError:
        # comfy-aimdo 0.4.9
        ready = comfy_aimdo.control.init_devices(iter(indices))
    if not ready:
        raise RuntimeError("comfy-aimdo did not start on this device.")
    comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
    comfy.memory_management.aimdo_enabled = True


def main(file: str, tiny: bool) -> None:
    # before torch uses the device, as in ComfyUI
    comfyui = comfyui_folder()
    if comfyui is None:
        raise SystemExit("there is no ComfyUI.")
    sys.path.insert(0, str(comfyui))
    import comfy_aimdo.control

    comfy_aimdo.control.init()
    bench = Bench(torch.device("cuda:0"), tiny)
    with pack_nodes(comfyui, bench.device) as nodes:
        start_dynamic_vram()
        Path(file).write_text(json.dumps(disk(bench, nodes)))


if __name__ == "__main__":
    main(sys.argv[1], "--tiny" in sys.argv)
