"""What a state asks of whoever goes on from it: pictures to read, and keys to make anew."""

from __future__ import annotations

from typing import Any

from ..memflow_core.config import MemoryConfig
from ..memflow_core.given import FIRST_PICTURE, take_given
from ..memflow_core.stream import LatentShape, Stream
from . import host
from .io_types import StoryState


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
        take_given(stream, state.given, lambda latents: host.from_latent(model, latents))


def forwards_before(state: StoryState | None, chunk_frames: int) -> int:
    """Passes through the model before the first chunk that is made."""
    if state is None:
        return 0
    return state.given.forwards(chunk_frames) + (state.stream.rebuilds if state.stream is not None else 0)
