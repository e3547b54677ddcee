"""Frames of a stream read anew: keys and values from clean latents, in passes of frames that see themselves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..attention import AloneAttention
from ..memory import FrameKV, KVWrite, SlotLayout
from ..model import TextKV
from .chunk import ForwardPass

if TYPE_CHECKING:
    from .stream import Stream

# keys and values of frames, and of their prompts, in one pass: a small frame by itself costs a launch more than it
# computes. At the sizes that real models are made for, one frame takes more
TOGETHER_BYTES = 64 * 2**20


class StreamMoments:
    """The frames whose latents and prompts a stream's provenance has; implements `Moments`."""

    def __init__(self, stream: Stream):
        self._stream = stream

    def read_alone(self, frames: Sequence[int]) -> Iterator[tuple[int, FrameKV]]:
        """Make frames' keys and values anew, with the weights that each was made with; they come in their order.

        Each is announced as a pass, though small ones go through the model together.

        Raises KeyError for a frame that is gone.
        """
        origins = {frame: self._stream.provenance.origin_of(frame) for frame in frames}

        def kind(frame: int) -> tuple[str, torch.Size]:
            _, write = origins[frame]
            return write.weights, write.text.shape

        for _, alike in groupby(frames, kind):
            waiting = list(alike)
            most = self._together(origins[waiting[0]][1].text)
            for first in range(0, len(waiting), most):
                group = waiting[first : first + most]
                yield from zip(group, self._read(group, [origins[frame] for frame in group]), strict=True)

    def _together(self, text: Tensor) -> int:
        """How many frames with prompts like this one, [B, length, text_dim], go through the model at once."""
        model, cache = self._stream.backbone, self._stream.cache
        if not model.takes_text_by_frame:
            return 1
        text_bytes = 2 * model.layers * len(text) * text.shape[1] * model.dim * model.dtype.itemsize
        return max(1, TOGETHER_BYTES // (cache.frame_bytes + text_bytes))

    def _read(self, frames: Sequence[int], origins: Sequence[tuple[Tensor, KVWrite]]) -> list[FrameKV]:
        """One pass over frames that were made with the same weights."""
        stream, chunk = self._stream, self._stream.progress.chunk
        for _ in frames:
            stream.announce(ForwardPass("moment", chunk))
        stream.backbone.use_weights(origins[0][1].weights)
        texts = torch.stack([write.text.to(stream.device) for _, write in origins], dim=1).flatten(0, 1)
        latents = torch.stack([latents for latents, _ in origins], dim=2)
        made = keys_each_alone(stream, frames, latents, stream.backbone.embed_text(texts))
        if stream.prompt is not None:
            stream.backbone.use_weights(stream.prompt.weights)
        return made

    def text(self, frame: int) -> Tensor:
        """The embedding [B, length, text_dim] that a frame was made under. Raises KeyError for a frame that is gone."""
        return self._stream.provenance.origin_of(frame)[1].text

    def latents(self, frame: int) -> Tensor:
        """A frame's clean latents, [B, C, h, w]. Raises KeyError for a frame that is gone."""
        return self._stream.provenance.origin_of(frame)[0]


def keys_alone(stream: Stream, frame: int, latents: Tensor, text: list[TextKV]) -> FrameKV:
    """Keys and values of a latent frame that attends to itself alone.

    latents  [B, C, 1, h, w].
    text     cross-attention keys and values of its prompt, per layer.
    """
    return keys_each_alone(stream, [frame], latents, text)[0]


def keys_each_alone(stream: Stream, frames: Sequence[int], latents: Tensor, text: list[TextKV]) -> list[FrameKV]:
    """Keys and values of latent frames that each attend to themselves alone, made in one pass.

    A frame stands where it stood: jumps moved positions on, or a story began anew.

    latents  [B, C, frames, h, w].
    text     cross-attention keys and values of each frame's prompt, per layer: [B * frames, heads, length, head_dim].
    """
    model = stream.backbone
    alone = stream.cache.like(SlotLayout(sink_slots=len(frames), window_slots=0, bank_slots=0))
    attend = AloneAttention(stream.attention, alone, frames, backend=model.attention)
    model.write(latents.to(stream.device, torch.float32), stream.sampling.context_noise, text, attend)
    return [FrameKV(**{name: part[:, :, :, slot] for name, part in alone.parts.items()}) for slot in range(len(frames))]
