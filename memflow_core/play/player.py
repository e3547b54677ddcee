"""Play a schedule on a stream: set its prompts and pins at chunk boundaries, and make its chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..keep import Keep, Keeping
from ..schedule import PlacedSegment, Plan
from ..stream import Chunk, Noise, SeededNoise, Stream
from .encoded_schedule import EncodedSchedule

Changes = Callable[[int], EncodedSchedule]
"""Called with the number of the coming chunk; returns the schedule to go on with."""


def play(
    stream: Stream,
    prompts: EncodedSchedule,
    seed: int | None = None,
    changes: Changes | None = None,
    *,
    keep: Keep | None = None,
) -> Iterator[Chunk]:
    """Make the chunks of a schedule that the stream has not made yet.

    A stream that was resumed inside a segment goes on without a switch if its prompt is that segment's, so it makes
    what an uninterrupted run would have made.

    seed     for segments without a seed of their own; None: they get the stream's noise. Give the first run's seed to
             a resumed stream: its noise is that of the segment it stopped in.
    changes  called before every chunk for the schedule to go on with. It may not change chunks that are made. The
             last schedule is what was played: a run of it makes the same chunks.
    keep     where exact moments are kept. A stream that has made nothing then goes on from the longest beginning that
             is the same as in an earlier run: its chunks are read, not made, and have no `forwards` and no `trace`.

    Yields finished chunks. Raises ValueError before the first one if the memory cannot hold what is pinned, or if
    nothing holds a frame to pin any more; and after a chunk with NaN or infinity.
    """
    if keep is None:
        yield from _make(stream, prompts, seed, changes, None)
        return
    noise_seed = stream.noise.seed if seed is None and isinstance(stream.noise, SeededNoise) else seed
    with keep.begin(stream, noise_seed) as keeping:
        yield from keeping.take_up(prompts.plan, prompts.embeddings, prompts.weights)
        yield from _make(stream, prompts, noise_seed, changes, keeping)


def _make(
    stream: Stream, prompts: EncodedSchedule, seed: int | None, changes: Changes | None, keeping: Keeping | None
) -> Iterator[Chunk]:
    """Make the chunks that the stream has not made yet; those between two moments are kept."""
    noise: Noise = stream.noise if seed is None else SeededNoise(seed)
    _prepare_pins(stream, prompts.plan)
    current = _CurrentPrompt(stream)
    while stream.progress.chunk < prompts.plan.chunks:
        index = stream.progress.chunk
        if changes is not None:
            prompts = changes(index)
            if index >= prompts.plan.chunks:
                break
        if keeping is not None:
            keeping.before_chunk(prompts.plan, prompts.embeddings, prompts.weights)
        number = prompts.plan.segment_at(index)
        segment, embedding = prompts.plan.segments[number], prompts.embeddings[number]
        weights = prompts.weights[number]
        changed = index == segment.start_chunk or not current.is_of(segment, embedding, weights)
        if changed:
            # inside a segment no new story begins: a state that ends there has it behind it
            inside = segment.switch == "fresh" and index != segment.start_chunk
            _change_prompt(stream, replace(segment, switch="recache") if inside else segment, embedding, weights)
        _pin_made(stream, prompts.plan)
        ahead = slice(number + 1, _next_fresh(prompts.plan, number))
        stream.look_ahead(prompts.embeddings[ahead], prompts.weights[ahead])
        stream.noise = noise if segment.seed is None else SeededNoise(segment.seed)
        chunk = next(stream)
        if changed:
            current.note(embedding)
        _check_finite(chunk, segment)
        if keeping is not None:
            keeping.add(chunk)
        yield chunk
    if keeping is not None:
        keeping.before_chunk(prompts.plan, prompts.embeddings, prompts.weights)


def _prepare_pins(stream: Stream, plan: Plan) -> None:
    """Check that the memory can hold all pins, and set those with a name."""
    by_hand = [frame for frame, name in stream.pins if name is None]
    plan.check_memory(stream.memory_config, by_hand, stream.progress.chunk)
    # by frame, so that a story that goes on from a kept moment has them in the same order
    for pin in sorted(plan.pins, key=lambda pin: pin.frame):
        # pins for good follow chunk by chunk, as they take room in the bank
        if pin.name is not None and pin.frame >= stream.cache.layout.began:
            stream.pin(pin.frame, pin.name)


def _next_fresh(plan: Plan, number: int) -> int:
    """The segment behind one that forgets all, or the number of segments: no prompt from there on is answered now."""
    behind = range(number + 1, len(plan.segments))
    return next((other for other in behind if plan.segments[other].switch == "fresh"), len(plan.segments))


def _pin_made(stream: Stream, plan: Plan) -> None:
    """Pin for good what is made by the end of the coming chunk; of one that forgets all, before the next."""
    if stream.waiting is not None and stream.waiting.switch == "fresh":
        return
    made = (stream.progress.chunk + 1) * plan.grid.latent_frames
    for pin in plan.pins:
        # what was pinned before a fresh prompt is forgotten
        if pin.name is None and stream.cache.layout.began <= pin.frame < made:
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
