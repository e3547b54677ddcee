"""Join the films of a job's parts into one file, packet by packet, and take pictures out of films."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from .errors import JobError

_FORMATS = {
    ".mp4": ("mp4", {"movflags": "faststart+use_metadata_tags"}),
    ".webm": ("webm", {"cues_to_front": "1"}),
    ".mkv": ("matroska", {"cues_to_front": "1"}),
}


def join(parts: Sequence[Path], target: Path, *, fps: float, tags: Mapping[str, str]) -> int:
    """Join films into a new file, whose decoded frames are those of the parts: nothing is encoded again.

    parts   films of one encoder and size, without sound or B-frames, as MemFlow Stream to Video writes them.
    target  written whole or not at all; its ending names the container.
    tags    of the file, text by name.

    Returns the number of video frames. Raises JobError if a part is not as the first one.
    """
    import av

    draft = target.with_name(f".{target.name}.unfinished")
    container, options = _FORMATS[target.suffix.lower()]
    rate = Fraction(fps).limit_denominator(1_000_000)
    frames = 0
    try:
        with av.open(draft, "w", format=container, options=options) as new:
            new.metadata.update(tags)
            stream = None
            first = b""
            for path in parts:
                with av.open(path) as old:
                    source = old.streams.video[0]
                    if stream is None:
                        stream, first = new.add_stream_from_template(source, opaque=True), _header(source)
                        if container == "mp4" and source.codec_context.name == "hevc":
                            stream.codec_context.codec_tag = "hvc1"  # the only kind that Apple's players open
                    elif _header(source) != first:
                        raise JobError(f"{path.name} was encoded otherwise than the part before it: render it again.")
                    for packet in old.demux(source):
                        if packet.size:
                            # one after the other: times within a part add nothing, since there are no B-frames
                            packet.pts = packet.dts = round(frames / (rate * packet.time_base))
                            packet.duration = round(1 / (rate * packet.time_base))
                            packet.stream = stream
                            new.mux(packet)
                            frames += 1
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return frames


def _header(stream) -> bytes:
    """What a decoder is set up with: codec, size, and the encoder's own header."""
    context = stream.codec_context
    return f"{context.name} {context.width} {context.height}".encode() + (context.extradata or b"")


def check_sound(path: Path) -> None:
    """Raise JobError for a sound that no film can have."""
    import av

    with av.open(path) as file:
        channels = file.streams.audio[0].codec_context.channels
    if channels not in (1, 2):
        raise JobError(f"the audio has {channels} channels, but must have 1 or 2.")


def lay_under(sound: Path, film: Path, target: Path, *, fps: float, tags: Mapping[str, str]) -> None:
    """Write a film again with a sound under it, which ends with the film or is silent after its end.

    Raises JobError if it cannot be encoded.
    """
    # loaded here: a silent film needs no torch
    from ..video import lay_sound, read_sound

    draft = target.with_name(f".{target.name}.unfinished")
    rate = Fraction(fps).limit_denominator(1_000_000)
    try:
        lay_sound(
            read_sound(sound), film, draft, container=_FORMATS[target.suffix.lower()][0], metadata=tags, rate=rate
        )
        os.replace(draft, target)
    except ValueError as error:
        raise JobError(str(error)) from None
    finally:
        draft.unlink(missing_ok=True)


def first_picture(film: Path, target: Path) -> None:
    """Write a film's first frame as JPEG."""
    import av

    with av.open(film) as file:
        frame = next(file.decode(video=0))
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height = frame.width, frame.height
    context.pix_fmt, context.time_base = "yuvj420p", Fraction(1, 1)
    picture = frame.reformat(format="yuvj420p")
    picture.pts = 0
    data = b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])
    draft = target.with_suffix(".unfinished")
    draft.write_bytes(data)
    os.replace(draft, target)
