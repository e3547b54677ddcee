"""Parts of a film: compressed pictures of an encoder that was opened for them, so that films can share them.

An encoder looks back: at pictures since the last key frame, and at how much those before took. One that is opened anew
for each part makes the same packets of the same pictures, whatever came before. So a part of one film can stand in
another, packet by packet, where an encoder would have made the same. Encoders that learn from what was before see a
part's first pictures twice, so that it starts in the quality that a film has in its middle.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

import av

from .encoder import LEARNING_FRAMES, Codec, FrameEncoder, VideoSettings


@dataclass(frozen=True)
class PartPacket:
    """A compressed picture. time: its place in the part, in frames; key: whether it can be decoded by itself."""

    content: bytes
    time: int
    key: bool


@dataclass(frozen=True)
class FilmPart:
    """A part's compressed pictures.

    encoding   16 hexadecimal digits that stand for what they were encoded with, see `encoding_of`.
    extradata  the encoder's own header.
    """

    encoding: str
    extradata: bytes
    packets: tuple[PartPacket, ...]


def encoding_of(encoder: FrameEncoder, codec: Codec, settings: VideoSettings) -> str:
    """A digest of all that decides packets beside the pictures: 16 hexadecimal digits."""
    made_by = {
        "encoder": codec.encoder,
        "options": [dict(codec.options), dict(codec.quality_options(settings.crf)), codec.pixel_format],
        "settings": {name: str(value) for name, value in asdict(settings).items()},
        "learns": LEARNING_FRAMES if codec.learns else 0,
        "extradata": extradata_of(encoder).hex(),
        "libraries": {name: list(version) for name, version in av.library_versions.items()},
        # some encoders split a picture among threads
        "cores": os.cpu_count(),
    }
    return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]


def extradata_of(encoder: FrameEncoder) -> bytes:
    """The encoder's header; empty for codecs that have none."""
    return bytes(encoder.stream.codec_context.extradata or b"")


def noted(packets: Sequence[av.Packet], rate: Fraction) -> list[PartPacket]:
    """Copies of an encoder's packets, whose times still start with its part."""
    return [PartPacket(bytes(packet), _frame_of(packet, rate), bool(packet.is_keyframe)) for packet in packets]


def packets_of(part: FilmPart, rate: Fraction) -> list[av.Packet]:
    """Packets of a part for a muxer, whose times start with it."""
    made = []
    for known in part.packets:
        packet = av.Packet(known.content)
        packet.time_base = 1 / rate
        packet.pts = packet.dts = known.time
        packet.duration = 1
        packet.is_keyframe = known.key
        made.append(packet)
    return made


def _frame_of(packet: av.Packet, rate: Fraction) -> int:
    # libav's encoders give every packet of ours a time
    assert packet.pts is not None
    return round(packet.pts * packet.time_base * rate)
