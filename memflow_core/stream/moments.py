"""Frames of a stream read anew: keys and values from clean latents, in passes of frames that see themselves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..attention import AloneAttention
from ..memory import FrameKV, KVWrite, SlotLayout
from ..model import TextKV
from .chunk import ForwardPass

if TYPE_CHECKING:
    from .stream import Stream

# keys and values of frames and of their prompts in one pass: a small frame by itself costs a launch more than it
# computes. A prompt of 512 tokens takes more than that in a real model, whose frames go one by one
TOGETHER_BYTES = 8 * 2**20


class StreamMoments:
    """The frames whose latents and prompts a stream's provenance has; implements `Moments`."""

    def __init__(self, stream: Stream):
        self._stream = stream

    def read_alone(self, frames: Sequence[int]) -> Iterator[tuple[int, FrameKV]]:
        """Make frames' keys and values anew as they are asked for, with the weights that each was made with.

        They come in any order. Each is announced and counted as a pass, though small ones go through the model
        together. Whoever keeps no keys leaves the next ones their room.

        Raises KeyError, as the first one is asked for, where any frame is gone.
        """
        stream = self._stream
        origins = {frame: stream.provenance.origin_of(frame) for frame in frames}
        alike: dict[tuple[str, torch.Size], list[int]] = {}
        for frame, (_, write) in origins.items():
            alike.setdefault((write.weights, write.text.shape), []).append(frame)
        try:
            for (weights, text_shape), waiting in alike.items():
                most = self._most_together(text_shape)
                for first in range(0, len(waiting), most):
                    group = waiting[first : first + most]
                    yield from zip(group, self._read(group, [origins[frame] for frame in group], weights), strict=True)
        finally:
            if stream.prompt is not None:
                stream.backbone.use_weights(stream.prompt.weights)

    def _most_together(self, text_shape: torch.Size) -> int:
        """How many frames with prompts of a shape, [B, length, text_dim], go through the model at once."""
        model, cache = self._stream.backbone, self._stream.cache
        if not model.takes_text_by_frame:
            return 1
        batch, length, _ = text_shape
        text_bytes = 2 * model.layers * batch * length * model.dim * model.dtype.itemsize
        return max(1, TOGETHER_BYTES // (cache.frame_bytes + text_bytes))

    def _read(self, frames: Sequence[int], origins: Sequence[tuple[Tensor, KVWrite]], weights: str) -> list[FrameKV]:
        """One pass over frames that were made with the same weights, by prompts of one length."""
        stream, chunk = self._stream, self._stream.progress.chunk
        for _ in frames:
            stream.announce(ForwardPass("moment", chunk))
        stream.backbone.use_weights(weights)
        texts = torch.stack([write.text.to(stream.device) for _, write in origins], dim=1).flatten(0, 1)
        latents = torch.stack([latents for latents, _ in origins], dim=2)
        return keys_alone(stream, frames, latents, stream.backbone.embed_text(texts))

    def text(self, frame: int) -> Tensor:
        """The embedding [B, length, text_dim] that a frame was made under. Raises KeyError for a frame that is gone."""
        return self._stream.provenance.origin_of(frame)[1].text

    def latents(self, frame: int) -> Tensor:
        """A frame's clean latents, [B, C, h, w]. Raises KeyError for a frame that is gone."""
        return self._stream.provenance.origin_of(frame)[0]


def keys_alone(stream: Stream, frames: Sequence[int], latents: Tensor, text: list[TextKV]) -> list[FrameKV]:
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
