"""The profile of a `MODEL`: attached by a node of this pack, or picked by what ComfyUI knows of its file."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import folder_paths
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ...memflow_core.profiles import Picked, Signs, pick
from .honoured.tree import tree_to_load

ATTACHMENT = "memflow_profile"
_AUTOREGRESSIVE = {"config": '{"transformer": {"causal_ar": true}}'}


def with_profile(model: Any, picked: Picked) -> Any:
    """A copy of a `MODEL` that carries a profile; ComfyUI's copies of it do, too."""
    carrying = model.clone()
    carrying.set_attachments(ATTACHMENT, picked)
    return carrying


def profile_of(model: Any) -> Picked:
    """The profile that a `MODEL` carries, or that its file's name, its class and its sizes stand for.

    Raises ValueError for a file that cannot be streamed by its name.
    """
    carried = model.get_attachment(ATTACHMENT)
    return carried if isinstance(carried, Picked) else pick(signs_of(model))


def signs_of(model: Any) -> Signs:
    """What ComfyUI knows of a `MODEL`'s file."""
    with tree_to_load(model) as tree:
        dim, channels = tree.patch_embedding.weight.shape[:2]
    return Signs(
        file=_file_of(model),
        metadata=_AUTOREGRESSIVE if "CausalAR" in type(model.model).__name__ else {},
        dim=dim,
        channels=channels,
        # some patch of the weights, which may be what teaches them to stream
        lora="a patch" if model.patches else "",
    )


def show_on_node(text: str) -> None:
    """Show a line on the node that runs now, to the page that queued it."""
    running = get_executing_context()
    if running is not None:
        PromptServer.instance.send_progress_text(text, running.node_id, PromptServer.instance.client_id)


def _file_of(model: Any) -> str:
    """Name of the file that a loader of ComfyUI's read, below the models' folder; empty where nothing says so."""
    made = model.cached_patcher_init
    path = made[1][0] if made and len(made) > 1 and made[1] else None
    if not isinstance(path, str):
        return ""
    for folder in ("diffusion_models", "unet", "checkpoints"):
        for root in folder_paths.folder_names_and_paths.get(folder, ((),))[0]:
            if PurePath(path).is_relative_to(root):
                return PurePath(path).relative_to(root).as_posix()
    return PurePath(path).name
