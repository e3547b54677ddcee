"""Mux compressed packets into fragments, and remux a file of fragments into a regular one.

A fragment is complete in itself, so that a file of fragments plays however far it has grown: `moof` + `mdat` boxes in
mp4 (ISO/IEC 14496-12), clusters in webm and mkv (RFC 9559).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import OutputContainer
from av.stream import Stream

# options by libav's name of a container. use_metadata_tags: without it, mp4 drops every tag that is not one of its own
_FRAGMENT_OPTIONS = {
    "mp4": {"movflags": "empty_moov+default_base_moof+frag_custom+frag_discont+skip_trailer+use_metadata_tags"},
    "webm": {"live": "1"},
    "matroska": {"live": "1"},
}
_FILE_OPTIONS = {
    "mp4": {"movflags": "faststart+use_metadata_tags"},
    "webm": {"cues_to_front": "1"},
    "matroska": {"cues_to_front": "1"},
}


class Track(NamedTuple):
    """Packets of one encoder, and its stream, whose parameters describe them."""

    stream: Stream
    packets: Sequence[av.Packet]


def mux_fragment(
    tracks: Sequence[Track], container: str, *, number: int, metadata: Mapping[str, str], priming_s: Fraction
) -> bytes:
    """Mux packets into the bytes that are appended to a file of the fragments before them.

    tracks     the same ones for every fragment of a file, video first, then sound if there is any.
    container  a libav name: mp4, webm or matroska.
    number     of the fragment; number 0 starts with the file's header.
    metadata   tags of the file, text by name.
    priming_s  see `SoundEncoder`. Times in a fragmented mp4 cannot be below zero, so its sound is late by that much.
    """
    options = {**_FRAGMENT_OPTIONS[container], "flush_packets": "1", "avoid_negative_ts": "disabled"}
    if container == "mp4":
        options["fragment_index"] = str(number + 1)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as file:
        file.metadata.update(metadata)
        streams = [_add_stream(file, track.stream) for track in tracks]
        file.start_encoding()
        header_bytes = buffer.tell()
        for track_number, packet in _by_time(tracks):
            if track_number and container == "mp4":
                shift(packet, priming_s)
            packet.stream = streams[track_number]
            file.mux(packet)
    return buffer.getvalue()[header_bytes if number else 0 :]


def remux(
    source: Path,
    target: Path,
    *,
    container: str,
    metadata: Mapping[str, str],
    rate: Fraction,
    priming_s: Fraction = Fraction(0),
) -> None:
    """Copy a file of fragments to a regular one, which has an index and plays while it is downloaded.

    container, metadata, priming_s  as in `mux_fragment`; the sound of an mp4 is put back in time with its pictures.
    rate                            video frames a second.
    """
    with av.open(source) as old, av.open(target, "w", format=container, options=_FILE_OPTIONS[container]) as new:
        new.metadata.update(metadata)
        streams = {stream.index: _add_stream(new, stream) for stream in old.streams}
        for packet in old.demux():
            # every demux ends with an empty packet
            if packet.size:
                # equal without B-frames, but the reader leaves dts out in mkv files of few frames a second
                packet.dts = packet.pts
                if packet.stream.type == "video":
                    # webm keeps no durations; without one the last frame would not count
                    packet.duration = round(1 / (rate * packet.time_base))
                elif container == "mp4":
                    shift(packet, -priming_s)
                packet.stream = streams[packet.stream.index]
                new.mux(packet)


def count_packets(path: Path) -> dict[str, int]:
    """How many compressed frames can be read from a file, of `video` and of `audio`."""
    counts = {"video": 0, "audio": 0}
    with av.open(path) as file:
        for packet in file.demux():
            counts[packet.stream.type] += packet.size > 0
    return counts


def packet_time_s(packet: av.Packet) -> Fraction:
    """When a packet is to be played, in seconds."""
    return _pts(packet) * packet.time_base


def _pts(packet: av.Packet) -> int:
    # libav's encoders and demuxers give every packet of ours a time
    assert packet.pts is not None
    return packet.pts


def _by_time(tracks: Sequence[Track]) -> list[tuple[int, av.Packet]]:
    """(number of its track, packet) of all packets, in the order in which they are played."""
    packets = [(number, packet) for number, track in enumerate(tracks) for packet in track.packets]
    return sorted(packets, key=lambda pair: packet_time_s(pair[1]))


def shift(packet: av.Packet, seconds: Fraction) -> None:
    """Move a packet in time."""
    packet.pts = packet.dts = _pts(packet) + round(seconds / packet.time_base)


def _add_stream(file: OutputContainer, template: Stream) -> Stream:
    # opaque: without it, the name of the decoder is taken for that of an encoder
    stream = file.add_stream_from_template(template, opaque=True)
    if file.format.name == "mp4" and stream.codec_context.codec.id == av.Codec("hevc").id:
        # the only kind of h265 that Apple's players open
        stream.codec_context.codec_tag = "hvc1"
    return stream
