"""Decode a video chunk by chunk, with what the VAE needs of the past carried along."""

from typing import Any

from ..taehv import is_light
from .base import ChunkDecoder
from .taehv import LightDecoder
from .wan import WanDecoder

__all__ = ["ChunkDecoder", "LightDecoder", "WanDecoder", "chunk_decoder"]


def chunk_decoder(vae: Any) -> ChunkDecoder:
    """A decoder at the start of a video, for a `VAE` that `host.check_stream_vae` accepts."""
    return LightDecoder(vae) if is_light(vae) else WanDecoder(vae)
