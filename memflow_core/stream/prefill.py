"""Prefill: pictures from outside as the start of a stream, and as moments for its bank.

Both are written by clean forward passes alone, as if the stream had made them: nothing is denoised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import MemoryConfig
from ..memory import FrameSpan, KVWrite, PromptKeys
from .chunk import ForwardPass
from .moments import keys_alone
from .stream import Stream

FIRST_PICTURE = -2  # pictures count down from here, before the story; -1 is an empty slot


@dataclass(frozen=True)
class EncodedImages:
    """Latents [B, C, F, h, w] and the prompt that describes them, [1 or B, length, text_dim]."""

    latents: Tensor
    text: Tensor


@dataclass(frozen=True)
class InitialFrames:
    """Pictures that a stream reads before its next chunk.

    start       whole chunks, for the start of the story.
    remembered  each latent frame is one picture for the bank, which keeps it for good.
    """

    start: EncodedImages | None = None
    remembered: tuple[EncodedImages, ...] = ()

    @property
    def start_frames(self) -> int:
        """Latent frames at the start of the story."""
        return 0 if self.start is None else self.start.latents.shape[2]

    @property
    def remembered_frames(self) -> int:
        """Latent frames for the bank."""
        return sum(images.latents.shape[2] for images in self.remembered)

    @property
    def all(self) -> tuple[EncodedImages, ...]:
        """All pictures, in the order in which they are read."""
        return (*self.remembered, *([self.start] if self.start else []))

    def check_room(self, memory: MemoryConfig, pinned: int = 0) -> None:
        """Raise ValueError unless the bank of such a memory has room beside so many pinned frames."""
        wanted = self.remembered_frames
        if wanted and not memory.holds_pins:
            raise ValueError(
                f"pictures to remember need a bank that can hold them, but retrieval is {memory.retrieval!r}: choose "
                f"another policy."
            )
        if wanted and wanted + pinned > memory.bank_slots:
            others = f" beside {pinned} that are pinned already" if pinned else ""
            raise ValueError(
                f"{wanted} pictures are to be remembered{others}, but the bank holds {memory.bank_slots}: make the "
                f"bank larger, or remember fewer."
            )

    def forwards(self, chunk_frames: int) -> int:
        """Passes through the model that it takes to read all of this."""
        return self.remembered_frames + self.start_frames // chunk_frames


def load_initial_frames(
    stream: Stream, frames: InitialFrames, to_model: Callable[[Tensor], Tensor] = lambda latents: latents
) -> None:
    """Read pictures into a stream, before its next chunk.

    to_model  from the latent space of `frames` to the model's, [B, C, F, h, w] alike.

    Raises ValueError where they do not fit, before the model runs.
    """
    _check(stream, frames)
    for images in frames.remembered:
        _remember(stream, to_model(images.latents), images.text)
    if frames.start is not None:
        stream.set_prompt(frames.start.text)
        for latents in to_model(frames.start.latents).split(stream.sampling.chunk_frames, dim=2):
            stream.prefill(latents)


def _check(stream: Stream, frames: InitialFrames) -> None:
    frames.check_room(stream.memory_config)
    if frames.remembered:
        pins = stream.memory.pins
        # pictures enter beside the pins of the current prompt, and must find a place beside those of the next one too
        pinned = max(len(pins.held(names)) for names in (pins.recalled, stream.upcoming))
        frames.check_room(stream.memory_config, pinned)
    if frames.start_frames and (stream.progress.chunk or frames.start_frames % stream.sampling.chunk_frames):
        raise ValueError(
            f"a start has {frames.start_frames} latent frames, but must have whole chunks of "
            f"{stream.sampling.chunk_frames} and come before all others."
        )
    for images in frames.all:
        _check_size(stream, images)
        stream.check_text(images.text)


def _check_size(stream: Stream, images: EncodedImages) -> None:
    shape, found = stream.shape, images.latents.shape
    if (found[0], *found[-2:]) != (shape.batch, shape.rows, shape.columns):
        raise ValueError(
            f"the pictures given are {found[-1] * shape.pixels} x {found[-2] * shape.pixels} pixels, but the video is "
            f"{shape.picture[0]} x {shape.picture[1]}: use the same size."
        )


@torch.inference_mode()
def _remember(stream: Stream, latents: Tensor, text: Tensor) -> None:
    """Put each latent frame, read alone, into the bank as a pin, under a number below zero."""
    text = text.to(stream.device).expand(stream.shape.batch, -1, -1)
    stream.backbone.use_weights("")
    kv = stream.backbone.embed_text(text)
    keys = PromptKeys.of(stream.progress.prompts, text, kv)
    stream.progress.prompts += 1
    timestep = stream.sampling.context_noise
    for picture in latents.to(stream.device, torch.float32).split(1, dim=2):
        frame = min(FIRST_PICTURE, min(stream.provenance.sources, default=0) - 1)
        stream.announce(ForwardPass("picture", stream.progress.chunk))
        (alone,) = keys_alone(stream, [frame], picture, kv)
        stream.provenance.add(KVWrite("picture", FrameSpan(frame, 1), text, timestep), picture)
        stream.memory.insert(stream.progress.chunk, frame, keys, alone)
