"""The pack's nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .loader import MemFlowLoadModel
from .memory import MemFlowMemory
from .pictures import MemFlowRememberImages, MemFlowStartImages
from .prompts import MemFlowPromptSchedule, MemFlowPromptSegment
from .sampler import MemFlowSampler
from .state import MemFlowLoadState, MemFlowSaveState
from .tiny import MemFlowTinyStory
from .video import MemFlowStreamToVideo


class MemFlowExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            MemFlowLoadModel,
            MemFlowTinyStory,
            MemFlowPromptSchedule,
            MemFlowPromptSegment,
            MemFlowMemory,
            MemFlowSampler,
            MemFlowStreamToVideo,
            MemFlowSaveState,
            MemFlowLoadState,
            MemFlowStartImages,
            MemFlowRememberImages,
        ]


async def comfy_entrypoint() -> MemFlowExtension:
    return MemFlowExtension()
