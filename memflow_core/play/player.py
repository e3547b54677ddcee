"""Play a schedule on a stream: set its prompts and pins at chunk boundaries, and make its chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..schedule import PlacedSegment, Plan
from ..stream import Chunk, Noise, SeededNoise, Stream
from .encoded_schedule import EncodedSchedule

Changes = Callable[[int], EncodedSchedule]
"""Called with the number of the coming chunk; returns the schedule to go on with."""


def play(
    stream: Stream, prompts: EncodedSchedule, seed: int | None = None, changes: Changes | None = None
) -> Iterator[Chunk]:
    """Make the chunks of a schedule that the stream has not made yet.

    A stream that was resumed inside a segment goes on without a switch if its prompt is that segment's, so it makes
    what an uninterrupted run would have made.

    seed     for segments without a seed of their own; None: they get the stream's noise. Give the first run's seed to
             a resumed stream: its noise is that of the segment it stopped in.
    changes  called before every chunk for the schedule to go on with. It may not change chunks that are made. The
             last schedule is what was played: a run of it makes the same chunks.

    Yields finished chunks. Raises ValueError before the first one if the memory cannot hold what is pinned, or if
    nothing holds a frame to pin any more; and after a chunk with NaN or infinity.
    """
    noise: Noise = stream.noise if seed is None else SeededNoise(seed)
    _prepare_pins(stream, prompts.plan)
    current = _CurrentPrompt(stream)
    while stream.progress.chunk < prompts.plan.chunks:
        index = stream.progress.chunk
        if changes is not None:
            prompts = changes(index)
            if index >= prompts.plan.chunks:
                return
        number = prompts.plan.segment_at(index)
        segment, embedding = prompts.plan.segments[number], prompts.embeddings[number]
        weights = prompts.weights[number]
        changed = index == segment.start_chunk or not current.is_of(segment, embedding, weights)
        if changed:
            _change_prompt(stream, segment, embedding, weights)
        _pin_made(stream, prompts.plan)
        stream.noise = noise if segment.seed is None else SeededNoise(segment.seed)
        chunk = next(stream)
        if changed:
            current.note(embedding)
        _check_finite(chunk, segment)
        yield chunk


def _prepare_pins(stream: Stream, plan: Plan) -> None:
    """Check that the memory can hold all pins, and set those with a name."""
    by_hand = [frame for frame, name in stream.pins if name is None]
    plan.check_memory(stream.memory_config, by_hand, stream.progress.chunk)
    for pin in plan.pins:
        # pins for good follow chunk by chunk, as they take room in the bank
        if pin.name is not None:
            stream.pin(pin.frame, pin.name)


def _pin_made(stream: Stream, plan: Plan) -> None:
    """Pin for good what is made by the end of the coming chunk."""
    made = (stream.progress.chunk + 1) * plan.grid.latent_frames
    for pin in plan.pins:
        if pin.name is None and pin.frame < made:
            stream.pin(pin.frame)


def _change_prompt(stream: Stream, segment: PlacedSegment, embedding: Tensor, weights: str) -> None:
    if segment.blend_chunks:
        stream.set_prompt(
            embedding,
            segment.switch,
            recall=segment.recall,
            weights=weights,
            blend_chunks=segment.blend_chunks,
            blend_path=segment.blend_path,
        )
    else:
        stream.set_prompt(embedding, segment.switch, recall=segment.recall, weights=weights)


class _CurrentPrompt:
    """Know the stream's prompt by the identity of its tensors, and compare numbers only where that is not enough."""

    def __init__(self, stream: Stream):
        self._stream = stream
        # an embedding of the schedule, and the stream's copy of it on its device
        self._embedding: Tensor | None = None
        self._text: Tensor | None = None

    def is_of(self, segment: PlacedSegment, embedding: Tensor, weights: str) -> bool:
        """Whether the stream's prompt is this segment's, [1 or B, length, text_dim], with the same pins and weights."""
        prompt = self._stream.prompt
        if prompt is None or self._stream.recalled != segment.recall or prompt.weights != weights:
            return False
        if embedding is self._embedding and prompt.text is self._text:
            return True
        # a stream that made chunks before this run, for example a resumed one, shows its prompt by its numbers alone
        if not _equal(prompt.text, embedding):
            return False
        self.note(embedding)
        return True

    def note(self, embedding: Tensor) -> None:
        """Note that the stream's prompt was made from an embedding [1 or B, length, text_dim]."""
        self._embedding = embedding
        self._text = None if self._stream.prompt is None else self._stream.prompt.text


def _equal(text: Tensor, embedding: Tensor) -> bool:
    """Whether a stream's prompt [B, length, text_dim] equals an embedding [1 or B, length, text_dim]."""
    return text.shape[1:] == embedding.shape[1:] and torch.equal(text, embedding.to(text).expand_as(text))


def _check_finite(chunk: Chunk, segment: PlacedSegment) -> None:
    if not bool(torch.isfinite(chunk.latents).all()):
        raise ValueError(
            f"chunk {chunk.index} (prompt {segment.prompt[:60]!r}) came out with NaN or infinity: the "
            f"model's weights are damaged, or its precision is too low; chunks before it are kept."
        )
