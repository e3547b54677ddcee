"""Compressed video as pieces that are whole in themselves: a file that grows by them plays at any time.

Those of mp4 are `moof` + `mdat` boxes (ISO/IEC 14496-12), those of webm and mkv clusters (RFC 9559).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av

# containers by libav's name. use_metadata_tags: without it, mp4 drops every tag that is not one of its own
_GROWING = {
    "mp4": {"movflags": "empty_moov+default_base_moof+frag_custom+frag_discont+skip_trailer+use_metadata_tags"},
    "webm": {"live": "1"},
    "matroska": {"live": "1"},
}
_FINISHED = {
    "mp4": {"movflags": "faststart+use_metadata_tags"},
    "webm": {"cues_to_front": "1"},
    "matroska": {"cues_to_front": "1"},
}


Track = tuple[av.stream.Stream, Sequence[av.Packet]]
"""An encoder's stream, for its parameters, and packets of it."""


def fragment(
    tracks: Sequence[Track], container: str, number: int, metadata: Mapping[str, str], sound_delay_s: Fraction
) -> bytes:
    """The bytes that add these packets to a file made of the fragments before them.

    tracks     the same ones for every fragment of a file, pictures first.
    container  a libav name: mp4, webm or matroska.
    number     0 for the fragment that a file starts with; it also holds the file's header.
    sound_delay_s  see `SoundEncoder`. A growing mp4 knows no times below zero, so its sound is late by that much.
    """
    options = {**_GROWING[container], "flush_packets": "1", "avoid_negative_ts": "disabled"}
    if container == "mp4":
        options["fragment_index"] = str(number + 1)
    piece = io.BytesIO()
    with av.open(piece, "w", format=container, options=options) as file:
        file.metadata.update(metadata)
        added = [_add_track(file, stream) for stream, _ in tracks]
        file.start_encoding()
        header_bytes = piece.tell()
        for number_of_track, packet in _by_time(tracks):
            if number_of_track and container == "mp4":
                _move(packet, sound_delay_s)
            packet.stream = added[number_of_track]
            file.mux(packet)
    return piece.getvalue()[header_bytes if number else 0 :]


def finish(
    source: Path,
    target: Path,
    container: str,
    metadata: Mapping[str, str],
    rate: Fraction,
    sound_delay_s: Fraction = Fraction(0),
) -> None:
    """Copy a fragmented file of `rate` frames a second to a regular one, which has an index and plays while it is
    downloaded."""
    with av.open(source) as old, av.open(target, "w", format=container, options=_FINISHED[container]) as new:
        new.metadata.update(metadata)
        tracks = {stream.index: _add_track(new, stream) for stream in old.streams}
        for packet in old.demux():
            # not the empty packet that ends every demux
            if packet.size:
                # without B-frames they are the same, but a reader of slow mkv files leaves dts out
                packet.dts = packet.pts
                if packet.stream.type == "video":
                    # webm keeps no durations; without one the last frame would not count
                    packet.duration = round(1 / (rate * packet.time_base))
                elif container == "mp4":
                    _move(packet, -sound_delay_s)
                packet.stream = tracks[packet.stream.index]
                new.mux(packet)


def count_packets(path: Path) -> dict[str, int]:
    """Compressed frames that can be read from a file: of pictures (`video`), and of sound (`audio`)."""
    counts = {"video": 0, "audio": 0}
    with av.open(path) as file:
        for packet in file.demux():
            counts[packet.stream.type] += packet.size > 0
    return counts


def _by_time(tracks: Sequence[Track]) -> list[tuple[int, av.Packet]]:
    """(number of the track, packet) in the order in which they are played."""
    packets = [(number, packet) for number, (_, packets) in enumerate(tracks) for packet in packets]
    return sorted(packets, key=lambda pair: pair[1].pts * pair[1].time_base)


def _move(packet: av.Packet, seconds: Fraction) -> None:
    packet.pts = packet.dts = packet.pts + round(seconds / packet.time_base)


def _add_track(file: av.container.OutputContainer, template: av.stream.Stream) -> av.stream.Stream:
    # opaque: without it, the decoder's name is taken for an encoder's
    track = file.add_stream_from_template(template, opaque=True)
    if file.format.name == "mp4" and track.codec_context.codec.id == av.Codec("hevc").id:
        # the only kind of h265 that Apple's players open
        track.codec_context.codec_tag = "hvc1"
    return track
