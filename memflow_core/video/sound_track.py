"""Lay a sound under a film that is there already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch

from .audio import Sound, SoundEncoder
from .mux import Track, mux_fragment, remux

FRAGMENT_FRAMES = 240


def read_sound(path: Path) -> Sound:
    """The sound of a file that libav reads, for example FLAC, at its own rate. Raises ValueError for more channels."""
    with av.open(path) as file:
        stream = file.streams.audio[0]
        planes = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        frames = [piece for frame in file.decode(stream) for piece in planes.resample(frame)]
        frames += planes.resample(None)
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return Sound(torch.from_numpy(samples), stream.rate)


def lay_sound(
    sound: Sound, film: Path, target: Path, *, container: str, metadata: Mapping[str, str], rate: Fraction
) -> None:
    """Copy a silent film, packet by packet, with a sound under it, as `VideoWriter` writes one.

    container  libav's name of both files' format: mp4, webm or matroska.
    metadata   tags of the new file, text by name.
    rate       video frames a second.

    The sound is cut where the film ends; where it ends first, silence follows. Raises ValueError if this computer's
    libav lacks the encoder.
    """
    growing = target.with_name(f"{target.name}.growing")
    encoder = SoundEncoder(sound, container)
    try:
        with av.open(film) as old, open(growing, "wb") as file:
            video = old.streams.video[0]
            frames = 0
            for number, (packets, last) in enumerate(_batches(old.demux(video))):
                frames += len(packets)
                heard = encoder.encode_until(frames / rate) + (encoder.flush() if last else [])
                tracks = [Track(video, packets), Track(encoder.stream, heard)]
                file.write(
                    mux_fragment(tracks, container, number=number, metadata=metadata, priming_s=encoder.priming_s)
                )
        remux(growing, target, container=container, metadata=metadata, rate=rate, priming_s=encoder.priming_s)
    finally:
        growing.unlink(missing_ok=True)


def _batches(packets: Iterable[av.Packet]) -> Iterator[tuple[list[av.Packet], bool]]:
    """Packets of a film in batches, each with whether it is the last one."""
    # every demux ends with an empty packet
    whole = (packet for packet in packets if packet.size)
    batch = list(islice(whole, FRAGMENT_FRAMES))
    while batch:
        following = list(islice(whole, FRAGMENT_FRAMES))
        yield batch, not following
        batch = following
