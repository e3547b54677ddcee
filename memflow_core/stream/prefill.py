"""Pictures from outside: the start of a stream, and moments that its bank is to remember.

Both are written by clean forwards alone, as if the stream had made them: nothing is denoised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention import MemoryAttention
from ..config import MemoryConfig
from ..memory import FrameKV, FrameSpan, KVCache, KVWrite, NarrativeMemory, PromptKeys, SlotLayout
from ..model import TextKV
from .chunk import ForwardPass
from .stream import Stream


def keys_alone(stream: Stream, frame: int, latents: Tensor, text: list[TextKV]) -> FrameKV:
    """Keys and values of a latent frame that has seen nothing but itself. latents [B, C, 1, h, w]."""
    bone, cache, attention = stream.backbone, stream.cache, stream.attention
    at = SlotLayout(sink_slots=1, window_slots=0, bank_slots=0, origin=frame, end=frame + 1)
    shape = (bone.layers, cache.batch, bone.heads, stream.shape.tokens, bone.head_dim)
    alone = KVCache(*shape, at, bone.dtype, stream.device, cache.in_fp8)
    reading = MemoryAttention(alone, attention.rope, bone.attention, relative=attention.relative)
    reading.begin(FrameSpan(frame, 1))
    bone.write(latents.to(stream.device, torch.float32), stream.sampling.context_noise, text, reading)
    return FrameKV(**{name: part[:, :, :, 0] for name, part in alone.parts.items()})


FIRST_PICTURE = -2  # pictures count down from here, before the story; -1 is an empty slot


@dataclass(frozen=True)
class EncodedImages:
    """Latents [B, C, F, h, w] and the prompt that describes them, [1 or B, length, text_dim]."""

    latents: Tensor
    text: Tensor


@dataclass(frozen=True)
class InitialFrames:
    """What a stream is given before it makes its next chunk.

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
        return sum(pictures.latents.shape[2] for pictures in self.remembered)

    @property
    def all(self) -> tuple[EncodedImages, ...]:
        return (*self.remembered, *([self.start] if self.start else []))

    def check_room(self, memory: MemoryConfig, pinned: int = 0) -> None:
        """Raise ValueError unless a bank of such a memory, in which so many frames are pinned, has room."""
        wanted = self.remembered_frames
        if wanted and memory.retrieval in ("none", "reference"):
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
    stream: Stream, given: InitialFrames, to_model: Callable[[Tensor], Tensor] = lambda latents: latents
) -> None:
    """Let a stream read what it is given, before its next chunk.

    to_model  from the latent space of `given` to the model's.

    Raises ValueError where it does not fit, before the model runs.
    """
    given.check_room(stream.memory_config)
    if given.remembered:
        pins = stream.memory.pins
        # pictures enter beside what the prompt of before asks for, and must find a place under the next one too
        given.check_room(stream.memory_config, max(len(pins.held(names)) for names in (pins.recalled, stream.upcoming)))
    if given.start_frames and (stream.progress.chunk or given.start_frames % stream.sampling.chunk_frames):
        raise ValueError(
            f"a start has {given.start_frames} latent frames, but must have whole chunks of "
            f"{stream.sampling.chunk_frames} and come before all others."
        )
    for pictures in given.all:
        _check_size(stream, pictures)
        stream.check_text(pictures.text)
    for pictures in given.remembered:
        _remember(stream, to_model(pictures.latents), pictures.text)
    if given.start is not None:
        stream.set_prompt(given.start.text)
        for latents in to_model(given.start.latents).split(stream.sampling.chunk_frames, dim=2):
            stream.prefill(latents)


def _check_size(stream: Stream, pictures: EncodedImages) -> None:
    shape, found = stream.shape, pictures.latents.shape
    if (found[0], *found[-2:]) != (shape.batch, shape.rows, shape.columns):
        raise ValueError(
            f"the pictures given are {found[-1] * 8} x {found[-2] * 8} pixels, but the video is {shape.columns * 8} x "
            f"{shape.rows * 8}: use the same size."
        )


@torch.inference_mode()
def _remember(stream: Stream, latents: Tensor, text: Tensor) -> None:
    """Each latent frame sees itself alone, and enters the bank as a pin, under a number below zero."""
    memory: NarrativeMemory = stream.memory
    text = text.to(stream.device).expand(stream.shape.batch, -1, -1)
    kv = stream.backbone.embed_text(text)
    keys = PromptKeys.of(stream.progress.prompts, text, kv)
    stream.progress.prompts += 1
    for picture in latents.to(stream.device, torch.float32).split(1, dim=2):
        frame = min(FIRST_PICTURE, min(stream.ledger.sources, default=0) - 1)
        stream.announce(ForwardPass("picture", stream.progress.chunk))
        prototype = keys_alone(stream, frame, picture, kv)
        stream.ledger.wrote(KVWrite("picture", FrameSpan(frame, 1), text, stream.sampling.context_noise), picture)
        memory.take_in(stream.progress.chunk, frame, keys, prototype)
