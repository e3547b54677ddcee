"""Count what control takes: passes that it steers, and bytes of its branch, its encoders and their work.

The branch holds, beside its weights, a hidden state and a hint, s n d bytes each over the n tokens of a chunk, and the
keys and values of the prompt in its blocks; its largest step is one of the main blocks' own, which comes after it. Each
of the two encoders carries the last two inputs of its temporal convolutions: of the Wan 2.1 VAE's 96 channels and up,
1386 numbers for each pixel of the picture. One piece of two frames is encoded at a time, in 768 numbers a pixel.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

from ..config import LatentShape, SamplingConfig
from ..model import ModelSize
from ..schedule import Plan

CARRY_NUMBERS = 1386  # for a pixel of the picture, of each of two encoders
ENCODE_NUMBERS = 768
ENCODERS = 2


@dataclass(frozen=True)
class ControlWork:
    """What steers a run.

    spans         (first video frame, one after the last) of each control on the story; None: until the story ends. In
                  order, and none overlaps another; so is `remade`.
    blocks        of the branch.
    weights       bytes of the branch's weights, which are used where there are spans.
    number_bytes  of a number in the encoders.
    vae_bytes     bytes of the VAE's weights, where no decode counts them.
    remade        (first video frame, one after the last, strength) of pictures that chunks are made from.
    """

    spans: Sequence[tuple[int, int | None]]
    blocks: int
    weights: int
    number_bytes: int
    vae_bytes: int = 0
    remade: Sequence[tuple[int, int | None, float]] = ()

    def counts(
        self, model: ModelSize, shape: LatentShape, plan: Plan, done: int, sampling: SamplingConfig
    ) -> dict[str, Any]:
        """All that an `Estimate` says of it, by the names there."""
        return {
            "steered": self.passes(plan, done, sampling),
            "steered_seconds": self.steered_px(plan, done) / plan.grid.fps,
            "remade_seconds": self.remade_px(plan, done) / plan.grid.fps,
            "left_out": self.left_out(plan, done, sampling),
            "control_blocks": self.blocks if self.spans else 0,
            "control_bytes": self.device_bytes(model, shape, plan.grid.latent_frames),
            "control_weight_bytes": self._used_weights() + self.vae_bytes,
            "control_state_bytes": self.carry_bytes(shape),
        }

    def passes(self, plan: Plan, done: int, sampling: SamplingConfig) -> int:
        """Count the denoising passes of the chunks that are made and have a control on one of their video frames."""
        chunks = [chunk for chunk, first, end in _chunks(plan, done) if self._reaches(first, end)]
        return sum(len(sampling.steps_of(plan.story_chunk(chunk))) for chunk in chunks)

    def left_out(self, plan: Plan, done: int, sampling: SamplingConfig) -> int:
        """Count the denoising passes that chunks do without, since they are made from pictures that fill them."""
        strengths = {chunk: self._strength(first, end) for chunk, first, end in _chunks(plan, done)}
        return sum(sampling.first_step(plan.story_chunk(chunk), one) for chunk, one in strengths.items() if one)

    def steered_px(self, plan: Plan, done: int) -> int:
        """Count the video frames that are made and have a control on them."""
        first, end = plan.grid.start_px(done), plan.grid.start_px(plan.chunks)
        spans = ((max(first, start), end if stop is None else min(end, stop)) for start, stop in self.spans)
        return sum(max(0, stop - start) for start, stop in spans)

    def remade_px(self, plan: Plan, done: int) -> int:
        """Count the video frames of the chunks that are made from pictures that fill them."""
        return sum(end - first for _, first, end in _chunks(plan, done) if self._strength(first, end))

    def _reaches(self, first: int, end: int) -> bool:
        """Whether a control steers any of the video frames from `first` to `end`: the last that begins before `end`."""
        number = bisect_left(self.spans, end, key=itemgetter(0))
        return number > 0 and ((stop := self.spans[number - 1][1]) is None or stop > first)

    def _strength(self, first: int, end: int) -> float:
        """Strength of the pictures that are there for all video frames from `first` to `end`; 0 for none."""
        number = bisect_right(self.remade, first, key=itemgetter(0))
        _, stop, strength = self.remade[number - 1] if number else (0, 0, 0.0)
        return strength if stop is None or end <= stop else 0.0

    def carry_bytes(self, shape: LatentShape) -> int:
        """Count what encoders carry from chunk to chunk: two of what steers, one of what chunks are made from."""
        width, height = shape.picture
        encoders = ENCODERS * bool(self.spans) + bool(self.remade)
        return encoders * CARRY_NUMBERS * width * height * self.number_bytes

    def device_bytes(self, model: ModelSize, shape: LatentShape, chunk_frames: int) -> int:
        """Count all that control takes on the device."""
        width, height = shape.picture
        hidden = 2 * model.dtype_bytes * model.dim * shape.batch * chunk_frames * shape.tokens
        text = 2 * model.dtype_bytes * self.blocks * shape.batch * model.text_length * model.dim
        work = ENCODE_NUMBERS * width * height * self.number_bytes
        own = hidden + text if self.spans else 0
        return self._used_weights() + self.vae_bytes + self.carry_bytes(shape) + work + own

    def _used_weights(self) -> int:
        return self.weights if self.spans else 0


def _chunks(plan: Plan, done: int) -> Iterator[tuple[int, int, int]]:
    """(number, first video frame, one after the last) of the chunks that are made."""
    starts = (plan.grid.start_px(chunk) for chunk in range(done, plan.chunks + 1))
    return ((chunk, first, end) for chunk, (first, end) in enumerate(pairwise(starts), start=done))
