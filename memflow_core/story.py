"""A schedule played on a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .noise import SeededNoise
from .schedule import PlacedSegment, Plan
from .stream import Chunk, Stream


def play(stream: Stream, plan: Plan, embeddings: Sequence[Tensor], seed: int) -> Iterator[Chunk]:
    """Make the chunks of a plan that the stream has not made yet.

    A stream that was resumed in the middle of a segment goes on without a switch if its prompt is still that
    segment's, so it makes what an uninterrupted run would have made.

    plan        where each segment starts and ends, in chunks.
    embeddings  one [1 or B, length, text_dim] for each segment of the plan.
    seed        for segments without a seed of their own.

    Raises ValueError if a chunk comes out with NaN or infinity.
    """
    for segment, embedding in zip(plan.segments, embeddings, strict=True):
        while stream.progress.chunk < segment.end_chunk:
            if stream.progress.chunk == segment.start_chunk or not _speaks(stream, embedding):
                stream.set_prompt(embedding, segment.switch)
            stream.noise = SeededNoise(seed if segment.seed is None else segment.seed)
            chunk = next(stream)
            _check_finite(chunk, segment)
            yield chunk


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
