"""Frames of a stream read anew: keys and values from clean latents, in a pass of one frame that sees itself alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..attention import MemoryAttention
from ..memory import FrameKV, FrameSpan, SlotLayout
from ..model import TextKV
from .chunk import ForwardPass

if TYPE_CHECKING:
    from .stream import Stream


class StreamMoments:
    """The frames whose latents and prompts a stream's provenance has; implements `Moments`."""

    def __init__(self, stream: Stream):
        self._stream = stream

    def read_alone(self, frame: int) -> FrameKV:
        """Make a frame's keys and values anew, in one announced pass with the weights that it was made with.

        Raises KeyError for a frame that is gone.
        """
        stream = self._stream
        latents, write = stream.provenance.origin_of(frame)
        stream.announce(ForwardPass("moment", stream.progress.chunk))
        stream.backbone.use_weights(write.weights)
        text = stream.backbone.embed_text(write.text.to(stream.device))
        made = keys_alone(stream, frame, latents[:, :, None], text)
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
    model, cache = stream.backbone, stream.cache
    # where a jump moved positions on, or a story began anew, the frame stands where it stood
    where = {"origin": frame, "end": frame + 1, "jumps": cache.layout.jumps, "began": cache.layout.began}
    alone = cache.like(SlotLayout(sink_slots=1, window_slots=0, bank_slots=0, **where))
    own = stream.attention
    attention = MemoryAttention(
        alone, own.rope, backend=model.attention, relative=own.relative, shot_offset=own.shot_offset
    )
    attend = attention.begin(FrameSpan(frame, 1))
    model.write(latents.to(stream.device, torch.float32), stream.sampling.context_noise, text, attend)
    return FrameKV(**{name: part[:, :, :, 0] for name, part in alone.parts.items()})
