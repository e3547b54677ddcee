"""The pack's nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import live
from .loader import MemFlowLoadModel
from .memory import MemFlowMemory
from .memory_view import MemFlowMemoryView
from .prompts import MemFlowPromptSchedule, MemFlowPromptSegment
from .sampler import MemFlowSampler
from .tiny import MemFlowTinyStory
from .video import MemFlowStreamToVideo


class MemFlowExtension(ComfyExtension):
    async def on_load(self) -> None:
        live.add_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            MemFlowLoadModel,
            MemFlowTinyStory,
            MemFlowPromptSchedule,
            MemFlowPromptSegment,
            MemFlowMemory,
            MemFlowSampler,
            MemFlowStreamToVideo,
            MemFlowMemoryView,
        ]


async def comfy_entrypoint() -> MemFlowExtension:
    return MemFlowExtension()
