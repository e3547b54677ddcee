"""What a state asks of whoever goes on from it: pictures to read, and keys to make anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...memflow_core.config import LatentShape, MemoryConfig
from ...memflow_core.state import StreamState
from ...memflow_core.stream import FIRST_PICTURE, InitialFrames, Stream, load_initial_frames
from .. import host


def check_given(model: Any, state: StoryState, shape: LatentShape, memory: MemoryConfig) -> None:
    """Raise ValueError, before the model is on its device, unless a state's pictures fit the run."""
    given = state.given
    given.check_room(memory, state.stream.pinned_places if state.stream is not None else len(memory.pins))
    host.check_text_width(model, tuple(pictures.text for pictures in given.all))
    channels = host.wan_tree(model).out_dim
    for pictures in given.all:
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


def pinned_frames(state: StoryState | None) -> list[int]:
    """Latent frames that the bank keeps for good when a run starts: those of a state, and a number for each picture."""
    if state is None:
        return []
    pinned = [] if state.stream is None else [frame for frame, name in state.stream.pins if name is None]
    first = min(FIRST_PICTURE, min(pinned, default=0) - 1)
    return pinned + list(range(first, first - state.given.remembered_frames, -1))


def read_given(stream: Stream, model: Any, state: StoryState | None) -> None:
    """Let a stream read a state's pictures."""
    if state is not None:
        load_initial_frames(stream, state.given, lambda latents: host.from_latent(model, latents))


def forwards_before(state: StoryState | None, chunk_frames: int) -> int:
    """Passes through the model before the first chunk that is made."""
    if state is None:
        return 0
    return state.given.forwards(chunk_frames) + (state.stream.rebuilds if state.stream is not None else 0)


@dataclass(frozen=True)
class StoryState:
    """Where a story stands.

    stream   a stream between two chunks; None where none was made yet.
    decoder  the video decoder's carry, where the story was decoded on the way.
    given    pictures that whoever goes on has to read first, in the latent space of a `LATENT`.
    """

    stream: StreamState | None
    decoder: dict[str, Tensor] | None = None
    given: InitialFrames = field(default_factory=InitialFrames)

    @property
    def memory(self) -> MemoryConfig | None:
        """The memory settings that whoever goes on must use; None where those are free."""
        return None if self.stream is None else self.stream.memory

    def chunks(self, chunk_frames: int) -> int:
        """Chunks that lie behind it, of so many latent frames each."""
        return self.given.start_frames // chunk_frames if self.stream is None else self.stream.chunks
