"""Where a story stands: the value that a run starts from, and what its start asks of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...memflow_core.config import LatentShape, MemoryConfig
from ...memflow_core.state import StreamState
from ...memflow_core.stream import FIRST_PICTURE, InitialFrames, Stream, load_initial_frames
from .. import host


@dataclass(frozen=True)
class StoryState:
    """Where a story stands, the value that travels on MEMFLOW_STATE links.

    stream   a stream between two chunks; None where none was made yet.
    decoder  the video decoder's carry, if the story was decoded on the way: tensors on the CPU by name.
    initial  pictures that the next run must read first, as latents [1, C, F, h, w] in the latent space of a `LATENT`.
    unused   what else came along with their prompts.
    """

    stream: StreamState | None
    decoder: dict[str, Tensor] | None = None
    initial: InitialFrames = field(default_factory=InitialFrames)
    unused: tuple[host.Finding, ...] = ()

    @property
    def memory(self) -> MemoryConfig | None:
        """The memory settings that the next run must use; None where it may choose."""
        return None if self.stream is None else self.stream.memory

    def chunks(self, chunk_frames: int) -> int:
        """Chunks that are made already, of so many latent frames each."""
        return self.initial.start_frames // chunk_frames if self.stream is None else self.stream.chunks


def check_initial(model: Any, state: StoryState, shape: LatentShape, memory: MemoryConfig) -> None:
    """Raise ValueError, before the model is on its device, unless a state's pictures fit the run."""
    initial = state.initial
    initial.check_room(memory, state.stream.pinned_places if state.stream is not None else len(memory.pins))
    host.check_text_width(model, tuple(pictures.text for pictures in initial.all))
    channels = host.latent_channels_of(model)
    for pictures in initial.all:
        found = pictures.latents.shape
        if tuple(found[-2:]) != (shape.rows, shape.columns):
            raise ValueError(
                f"the state's pictures are {found[-1] * 8} x {found[-2] * 8} pixels, but the node asks for "
                f"{shape.columns * 8} x {shape.rows * 8}: use the same width and height."
            )
        if found[1] != channels:
            raise ValueError(
                f"the state's pictures have {found[1]} latent channels, but the model has {channels}: encode them "
                f"with the VAE that belongs to the model."
            )


def load_initial(stream: Stream, model: Any, state: StoryState | None) -> None:
    """Write a state's pictures into a stream's memory. Raises ValueError where they do not fit."""
    if state is not None:
        load_initial_frames(stream, state.initial, lambda latents: host.from_latent(model, latents))


def pinned_frames(state: StoryState | None) -> list[int]:
    """Latent frames that the bank keeps for good when a run starts: those of a state, and a number for each picture."""
    if state is None:
        return []
    pinned = [] if state.stream is None else [frame for frame, name in state.stream.pins if name is None]
    first = min(FIRST_PICTURE, min(pinned, default=0) - 1)
    return pinned + list(range(first, first - state.initial.remembered_frames, -1))


def forwards_before(state: StoryState | None, chunk_frames: int) -> int:
    """Passes through the model before the first chunk that the run makes."""
    if state is None:
        return 0
    return state.initial.forwards(chunk_frames) + (state.stream.rebuilds if state.stream is not None else 0)
