"""What travels along this pack's links. Every one is a value: no node changes what it was given."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io
from torch import Tensor

from ..memflow_core.schedule import PromptSchedule
from ..memflow_core.state import StreamState

ScheduleType = io.Custom("MEMFLOW_SCHEDULE")
MemoryType = io.Custom("MEMFLOW_MEMORY")  # a MemoryConfig
StateType = io.Custom("MEMFLOW_STATE")

CATEGORY = "MemFlow"


@dataclass(frozen=True)
class Schedule:
    """Prompts over time and their embeddings: one [1, length, width] on the CPU for each segment."""

    prompts: PromptSchedule
    embeddings: tuple[Tensor, ...]


@dataclass(frozen=True)
class StoryState:
    """A stream between two chunks, and the video decoder's carry where the story was decoded on the way."""

    stream: StreamState
    decoder: dict[str, Tensor] | None = None
