"""The pack's nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import host, live, plan_route, schedule_route
from .loader import MemFlowLoadModel
from .memory import MemFlowMemory
from .memory_view import MemFlowMemoryView
from .pictures import MemFlowRememberImages, MemFlowStartImages
from .prompts import MemFlowPromptSchedule, MemFlowPromptSegment
from .sampler import MemFlowSampler
from .state import MemFlowLoadState, MemFlowSaveState
from .tiny import MemFlowTinyStory
from .video import MemFlowStreamToVideo


class MemFlowExtension(ComfyExtension):
    async def on_load(self) -> None:
        live.add_routes()
        host.add_post_route(schedule_route.PATH, schedule_route.answer, schedule_route.MAX_BYTES)
        plan_route.add_routes()

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
            MemFlowSaveState,
            MemFlowLoadState,
            MemFlowStartImages,
            MemFlowRememberImages,
        ]


async def comfy_entrypoint() -> MemFlowExtension:
    return MemFlowExtension()
