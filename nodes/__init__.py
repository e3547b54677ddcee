"""The pack as ComfyUI loads it: nodes, and HTTP routes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import api, host
from .control import MemFlowControl, MemFlowLoadControl
from .export_job import MemFlowExportJob
from .images import MemFlowRememberImages, MemFlowStartImages
from .loaders import MemFlowLoadModel, MemFlowTinyStory
from .memory import MemFlowMemory
from .memory_view import MemFlowMemoryView
from .profile import MemFlowProfile
from .prompts import MemFlowPromptSchedule, MemFlowPromptSegment
from .sampler import MemFlowSampler
from .state import MemFlowLoadState, MemFlowSaveState
from .stream_to_video import MemFlowStreamToVideo


class MemFlowExtension(ComfyExtension):
    """ComfyUI's way into the pack."""

    async def on_load(self) -> None:
        """Add the routes, once, when ComfyUI starts."""
        api.add_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes, in the order in which they are listed."""
        nodes = [
            MemFlowLoadModel,
            MemFlowTinyStory,
            MemFlowPromptSchedule,
            MemFlowPromptSegment,
            MemFlowMemory,
            MemFlowSampler,
            MemFlowStreamToVideo,
            MemFlowMemoryView,
            MemFlowSaveState,
            MemFlowLoadState,
            MemFlowStartImages,
            MemFlowRememberImages,
            MemFlowProfile,
            MemFlowExportJob,
            MemFlowLoadControl,
            MemFlowControl,
        ]
        return [host.told(node) for node in nodes]


async def comfy_entrypoint() -> MemFlowExtension:
    """The function that ComfyUI looks for and calls."""
    return MemFlowExtension()
