"""Compute the keys of sink and window anew before a chunk, as Krea Realtime does.

The frames that the chunk will see are read together in one clean pass, each of them seeing all others, under the
prompt of the chunk. So no key is older than the chunk, and errors do not add up in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..attention import MemoryAttention
from ..memory import FrameSpan, SlotLayout
from .chunk import ForwardPass
from .prompt import Prompt

if TYPE_CHECKING:
    from .stream import Stream


def refresh_keys(stream: Stream, prompt: Prompt) -> None:
    """Write the keys and values of the frames that the coming chunk sees anew, where the settings ask for it."""
    if not stream.sampling.refresh:
        return
    layout, cache, model = stream.cache.layout, stream.cache, stream.backbone
    sink = range(layout.origin, layout.origin + layout.sink)
    frames = [*sink, *range(layout.first_seen_after(stream.sampling.chunk_frames), layout.end)]
    if not frames:
        return
    latents = torch.stack([stream.provenance.latents[frame] for frame in frames], dim=2)
    together = cache.like(SlotLayout(sink_slots=len(frames), window_slots=0, bank_slots=0, end=len(frames)))
    attention = MemoryAttention(together, stream.attention.rope, backend=model.attention, relative=True)
    stream.announce(ForwardPass("refresh", stream.progress.chunk))
    attend = attention.begin(FrameSpan(0, len(frames)))
    model.write(latents.to(stream.device, torch.float32), stream.sampling.context_noise, prompt.kv, attend)
    slots = [layout.slot(frame) for frame in frames]
    for name, part in cache.parts.items():
        part[:, :, :, slots] = together.parts[name]
