"""What travels along this pack's links. Every one is a value: no node changes what it was given."""

from __future__ import annotations

from dataclasses import dataclass, field

from comfy_api.latest import io
from torch import Tensor

from ..memflow_core.config import MemoryConfig
from ..memflow_core.given import Given
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
    """Where a story stands.

    stream   a stream between two chunks; None where none was made yet.
    decoder  the video decoder's carry, where the story was decoded on the way.
    given    pictures that whoever goes on has to read first, in the latent space of a `LATENT`.
    """

    stream: StreamState | None
    decoder: dict[str, Tensor] | None = None
    given: Given = field(default_factory=Given)

    @property
    def memory(self) -> MemoryConfig | None:
        """The memory settings that whoever goes on must use; None where those are free."""
        return None if self.stream is None else self.stream.memory

    def chunks(self, chunk_frames: int) -> int:
        """Chunks that lie behind it, of so many latent frames each."""
        return self.given.start_frames // chunk_frames if self.stream is None else self.stream.chunks
