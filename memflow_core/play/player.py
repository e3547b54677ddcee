"""A schedule played on a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..schedule import PlacedSegment, Plan
from ..stream import Chunk, SeededNoise, Stream

Changes = Callable[[int], tuple[Plan, Sequence[Tensor]]]
"""Called with the number of the coming chunk; returns the plan and the embeddings to go on with."""


def play(
    stream: Stream, plan: Plan, embeddings: Sequence[Tensor], seed: int, changes: Changes | None = None
) -> Iterator[Chunk]:
    """Make the chunks of a plan that the stream has not made yet.

    A stream that was resumed in the middle of a segment goes on without a switch if its prompt is still that
    segment's, so it makes what an uninterrupted run would have made.

    plan        where each segment starts and ends, in chunks, and what is pinned.
    embeddings  one [1 or B, length, text_dim] for each segment of the plan.
    seed        for segments without a seed of their own.
    changes     asked before every chunk what has changed; it may not change what was played. What then was played is
                the last plan, and a run of that plan makes the same chunks.

    Raises ValueError before the first chunk if the memory cannot hold what is pinned, or if a moment to pin lies so far
    behind the stream that nothing holds it any more; and if a chunk comes out with NaN or infinity.
    """
    by_hand = [frame for frame, name in stream.pins if name is None]
    plan.check_memory(stream.memory_config, by_hand, stream.progress.chunk)
    for pin in plan.pins:
        # those for good follow chunk by chunk, as they take room in the bank
        if pin.name is not None:
            stream.pin(pin.frame, pin.name)
    while stream.progress.chunk < plan.chunks:
        if changes is not None:
            plan, embeddings = changes(stream.progress.chunk)
            if stream.progress.chunk >= plan.chunks:
                return
        segment, embedding = _now(plan, embeddings, stream.progress.chunk)
        if stream.progress.chunk == segment.start_chunk or not _speaks(stream, segment, embedding):
            _change_prompt(stream, segment, embedding)
        _pin_made(stream, plan)
        stream.noise = SeededNoise(seed if segment.seed is None else segment.seed)
        chunk = next(stream)
        _check_finite(chunk, segment)
        yield chunk


def _now(plan: Plan, embeddings: Sequence[Tensor], chunk: int) -> tuple[PlacedSegment, Tensor]:
    """The segment that a chunk is made under, and its embedding."""
    parts = list(zip(plan.segments, embeddings, strict=True))
    return next(part for part in parts if part[0].start_chunk <= chunk < part[0].end_chunk)


def _change_prompt(stream: Stream, segment: PlacedSegment, embedding: Tensor) -> None:
    # of a segment that does not blend, there is nothing to say about blending
    blend = {"blend_chunks": segment.blend_chunks, "blend_path": segment.blend_path} if segment.blend_chunks else {}
    stream.set_prompt(embedding, segment.switch, recall=segment.recall, **blend)


def _pin_made(stream: Stream, plan: Plan) -> None:
    """Pin for good what is made by the end of the coming chunk."""
    made = (stream.progress.chunk + 1) * plan.grid.latent_frames
    for pin in plan.pins:
        if pin.name is None and pin.frame < made:
            stream.pin(pin.frame)


def _speaks(stream: Stream, segment: PlacedSegment, embedding: Tensor) -> bool:
    """Whether the stream's prompt is this one, with the same pins."""
    if stream.prompt is None or stream.recalled != segment.recall:
        return False
    current = stream.prompt.text
    if current.shape[1:] != embedding.shape[1:]:
        return False
    return torch.equal(current, embedding.to(current).expand_as(current))


def _check_finite(chunk: Chunk, segment: PlacedSegment) -> None:
    if not bool(torch.isfinite(chunk.latents).all()):
        raise ValueError(
            f"chunk {chunk.index} (prompt {segment.prompt[:60]!r}) came out with NaN or infinity: the "
            f"model's weights are damaged, or its precision is too low; chunks before it are kept."
        )
