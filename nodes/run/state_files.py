"""Save where a story stands to a file, and load it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...memflow_core.disk import remove_stale_drafts
from ...memflow_core.schedule import ChunkGrid
from ...memflow_core.state import COMPACT, DECODER, StreamState
from .. import host
from .start_state import StoryState


def save_state(state: StoryState, prefix: str, content: str) -> host.OutputFile:
    """Write a state to a new file in ComfyUI's output folder: all of it, or nothing.

    content  COMPACT or EXACT.

    Raises ValueError for a state that has no such content or a prefix outside the folder, FileExistsError rather than
    replace a file, and OSError in one sentence, as on a full disk.
    """
    tensors = _with_decoder(state, content)
    file = host.new_state_file(prefix)
    remove_stale_drafts(file.path.parent)
    tensors.save(file.path, replace=False)
    return file


def load_state(path: Path) -> tuple[StoryState, str]:
    """Read a state from a file, with a line that describes it.

    Raises ValueError for a file that is damaged or of another kind.
    """
    saved = StreamState.load(path)
    carry = {name.removeprefix(DECODER): t for name, t in saved.tensors.items() if name.startswith(DECODER)}
    tensors = {name: tensor for name, tensor in saved.tensors.items() if not name.startswith(DECODER)}
    # the decoder itself checks the rest of its carry
    if carry and tuple(carry[min(carry)].shape[-2:]) != (saved.shape.rows, saved.shape.columns):
        raise ValueError("the file's decoder part belongs to a video of another size: save the state again.")
    return StoryState(StreamState(tensors, saved.meta), carry or None, shown=saved.pictures), _describe(saved)


def _describe(stream: StreamState) -> str:
    """One line: length and size of the story, and the settings that its continuation needs."""
    frames = ChunkGrid(stream.sampling.chunk_frames).px_frames(stream.chunks)
    return (
        f"{frames} video frames made, {stream.shape.picture[0]} x {stream.shape.picture[1]}, steps "
        f"{', '.join(map(str, stream.sampling.steps))}, shift {stream.sampling.shift:g}, retrieval "
        f"{stream.memory.retrieval}, {stream.content}"
    )


def _with_decoder(state: StoryState, content: str) -> StreamState:
    """Stream and decoder as one value. A compact one has no decoder, which decodes the newest chunks again."""
    if state.stream is None or state.initial.all:
        raise ValueError(
            "the state holds pictures that no sampler has read yet: save the state that comes out of a sampler."
        )
    if content == COMPACT:
        return replace(state.stream.compact(), pictures=state.shown)
    if state.stream.content == COMPACT:
        raise ValueError(
            "the state came from a compact file and no sampler has gone on from it: it has nothing exact to save; "
            "choose compact."
        )
    carry = {f"{DECODER}{name}": tensor for name, tensor in (state.decoder or {}).items()}
    return StreamState(state.stream.tensors | carry, state.stream.meta, state.shown)
