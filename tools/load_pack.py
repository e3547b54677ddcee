"""Load this pack's nodes into this process, without a server."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .comfy_host import ROOT


def load_pack(comfyui: Path, base: Path, cpu: bool = False) -> ModuleType:
    """Import the pack by path and under the name that ComfyUI gives it. `base` is ComfyUI's base directory.

    cpu  leave a GPU alone.
    """
    import torch

    # the ComfyUI folder may be a user's own: leave no bytecode in it
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(comfyui))
    from comfy.cli_args import args

    args.cpu = cpu or not torch.accelerator.is_available()
    args.base_directory = str(base)
    name = str(ROOT).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def node_classes(pack: ModuleType) -> dict[str, Any]:
    """Return the class of each of the pack's nodes, by id."""

    async def listed() -> list[Any]:
        return await (await pack.comfy_entrypoint()).get_node_list()

    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(listed())}


def node_infos(pack: ModuleType) -> dict[str, dict[str, Any]]:
    """Return the description of each of the pack's nodes that the front end gets at `/object_info`, by id."""
    # through JSON, as a page gets it
    return {name: json.loads(json.dumps(node.GET_NODE_INFO_V1())) for name, node in node_classes(pack).items()}
