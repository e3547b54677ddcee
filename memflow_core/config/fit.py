"""What settings of memory and sampling say together."""

from __future__ import annotations

from .memory import MemoryConfig
from .require import require
from .sampling import SamplingConfig


def stream_positions(memory: MemoryConfig, sampling: SamplingConfig, frames: int | None) -> str:
    """Choose `absolute` or `relative` positions for a stream that reaches so many (None: unknown). Raises ValueError.

    Keys that are refreshed get their places anew for every chunk, so their positions are relative.
    """
    positions = memory.resolve_positions(frames)
    return "relative" if sampling.refresh and memory.positions == "auto" else positions


def check_fit(memory: MemoryConfig, sampling: SamplingConfig, layers: int | None = None) -> None:
    """Raise ValueError unless settings fit together: a chunk into the window, memory that counts in chunks into a
    chunk, and the layers that are named into a model of so many."""
    chunk = sampling.chunk_frames
    require(
        memory.window_frames >= chunk,
        f"memory window_frames is {memory.window_frames}, but one chunk has {chunk} latent frames and must fit into "
        f"the window.",
    )
    if memory.retrieval == "shots":
        whole = memory.bank_frames == chunk and not memory.window_frames % chunk and not memory.sink_frames % chunk
        require(
            whole,
            f"memory retrieval 'shots' keeps whole chunks of {chunk} latent frames: set bank_frames to {chunk}, and "
            f"window_frames and sink_frames, which are {memory.window_frames} and {memory.sink_frames}, to multiples "
            f"of it.",
        )
    require(
        not sampling.refresh or (memory.retrieval != "reference" and memory.positions != "absolute"),
        "keys are to be refreshed before every chunk, which needs relative positions and another memory retrieval than "
        "'reference': set both, or choose a profile without a refresh.",
    )
    named = memory.bank_layers or ()
    require(
        layers is None or all(layer < layers for layer in named),
        f"memory bank_layers names layer {max(named, default=0)}, but the model has layers 0 to {(layers or 1) - 1}.",
    )
