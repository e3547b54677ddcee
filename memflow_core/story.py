"""A schedule played on a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from .noise import SeededNoise
from .schedule import PlacedSegment, Plan
from .stream import Chunk, Stream

Changes = Callable[[int], tuple[Plan, Sequence[Tensor]]]
"""Called with the number of the coming chunk; returns the plan and the embeddings to go on with."""


def play(
    stream: Stream, plan: Plan, embeddings: Sequence[Tensor], seed: int, changes: Changes | None = None
) -> Iterator[Chunk]:
    """Make the chunks of a plan that the stream has not made yet.

    A stream that was resumed in the middle of a segment goes on without a switch if its prompt is still that
    segment's, so it makes what an uninterrupted run would have made.

    plan        where each segment starts and ends, in chunks.
    embeddings  one [1 or B, length, text_dim] for each segment of the plan.
    seed        for segments without a seed of their own.
    changes     asked before every chunk what has changed; it may not change what was played. What then was played is
                the last plan, and a run of that plan makes the same chunks.

    Raises ValueError if a chunk comes out with NaN or infinity.
    """
    while stream.progress.chunk < plan.chunks:
        if changes is not None:
            plan, embeddings = changes(stream.progress.chunk)
            if stream.progress.chunk >= plan.chunks:
                return
        segment, embedding = _now(plan, embeddings, stream.progress.chunk)
        if stream.progress.chunk == segment.start_chunk or not _speaks(stream, embedding):
            stream.set_prompt(embedding, segment.switch)
        stream.noise = SeededNoise(seed if segment.seed is None else segment.seed)
        chunk = next(stream)
        _check_finite(chunk, segment)
        yield chunk


def _now(plan: Plan, embeddings: Sequence[Tensor], chunk: int) -> tuple[PlacedSegment, Tensor]:
    """The segment that a chunk is made under, and its embedding."""
    parts = list(zip(plan.segments, embeddings, strict=True))
    return next(part for part in parts if part[0].start_chunk <= chunk < part[0].end_chunk)


def _speaks(stream: Stream, embedding: Tensor) -> bool:
    """Whether the stream's prompt is this one."""
    current = stream.prompt_text
    if current is None or current.shape[1:] != embedding.shape[1:]:
        return False
    return torch.equal(current, embedding.to(current).expand_as(current))


def _check_finite(chunk: Chunk, segment: PlacedSegment) -> None:
    if not bool(torch.isfinite(chunk.latents).all()):
        raise ValueError(
            f"chunk {chunk.index} (prompt {segment.prompt[:60]!r}) came out with NaN or infinity: the "
            f"model's weights are damaged, or its precision is too low; chunks before it are kept."
        )
