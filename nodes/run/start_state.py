"""Where a story stands: the value that a run starts from, and what its start asks of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...memflow_core.config import LatentShape, MemoryConfig
from ...memflow_core.state import StreamState
from ...memflow_core.stream import CONTROL, FIRST_PICTURE, InitialFrames, Stream, load_initial_frames
from .. import host


@dataclass(frozen=True)
class StoryState:
    """Where a story stands, the value that travels on MEMFLOW_STATE links.

    stream   a stream between two chunks; None where none was made yet.
    decoder  the video decoder's carry, if the story was decoded on the way: tensors on the CPU by name.
    initial  pictures that the next run must read first, as latents [1, C, F, h, w] in the latent space of a `LATENT`.
    unused   what else came along with their prompts.
    shown    data URLs of small pictures of what is remembered, by chunk, and below zero by picture.
    given    data URLs of the pictures of `initial` that are to be remembered, in their order.
    """

    stream: StreamState | None
    decoder: dict[str, Tensor] | None = None
    initial: InitialFrames = field(default_factory=InitialFrames)
    unused: tuple[host.Finding, ...] = ()
    shown: Mapping[int, str] = field(default_factory=dict)
    given: tuple[str, ...] = ()

    @property
    def memory(self) -> MemoryConfig | None:
        """The memory settings that the next run must use; None where it may choose."""
        return None if self.stream is None else self.stream.memory

    @property
    def controlled(self) -> bool:
        """Whether a control had pictures for the last chunk, of which the next one would go on."""
        return self.stream is not None and any(name.startswith(CONTROL) for name in self.stream.tensors)

    def chunks(self, chunk_frames: int) -> int:
        """Chunks that are made already, of so many latent frames each."""
        return self.initial.start_frames // chunk_frames if self.stream is None else self.stream.chunks


def check_initial(model: Any, state: StoryState, shape: LatentShape, memory: MemoryConfig, chunk_frames: int) -> None:
    """Raise ValueError, before the model is on its device, unless a state's pictures fit the run."""
    initial = state.initial
    initial.check_room(memory, state.stream.pinned_places if state.stream is not None else len(memory.pins))
    host.check_text_width(model, tuple(pictures.text for pictures in initial.all))
    if initial.start_frames % chunk_frames:
        raise ValueError(
            f"the state starts with {initial.start_frames} latent frames, but the model's chunks have {chunk_frames}: "
            f"connect the model to MemFlow Start Images too, so that it takes as many pictures as fill whole chunks."
        )
    channels = host.latent_channels_of(model)
    for pictures in initial.all:
        found = pictures.latents.shape
        if tuple(found[-2:]) != (shape.rows, shape.columns):
            raise ValueError(
                f"the state's pictures are {found[-1] * shape.pixels} x {found[-2] * shape.pixels} pixels, but the "
                f"node asks for {shape.picture[0]} x {shape.picture[1]}: use the same width and height."
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


def pictures_shown(state: StoryState | None) -> dict[int, str]:
    """Data URLs of small pictures of what is remembered when a run starts, by chunk, and below zero by picture."""
    if state is None:
        return {}
    numbers = pinned_frames(state)[len(pinned_frames(state)) - state.initial.remembered_frames :]
    # one of those that were given may have none
    return {**state.shown, **{number: url for number, url in zip(numbers, state.given, strict=False) if url}}


def forwards_before(state: StoryState | None, chunk_frames: int) -> int:
    """Passes through the model before the first chunk that the run makes."""
    if state is None:
        return 0
    return state.initial.forwards(chunk_frames) + (state.stream.rebuilds if state.stream is not None else 0)
