"""Video encoders: the codecs of each container, their low-latency settings, and frames to compressed packets."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream

from .mux import packet_time_s, shift

MIN_FPS, MAX_FPS = 0.1, 1000
KEYFRAME_INTERVAL_S = 2
# a chunk's pictures: more of them teach an encoder no more
LEARNING_FRAMES = 12
# colour primaries, transfer and matrix in ISO/IEC 23091-2
BT709 = 1
LIMITED_RANGE = 1


def _by_crf(crf: float) -> dict[str, str]:
    return {"crf": str(crf)}


@dataclass(frozen=True)
class Codec:
    """An encoder of libav and its settings.

    encoder          libav's name.
    containers       libav's names of those that it goes into.
    name_in_types    its name in media types (RFC 6381), with profile and level of 4K video: players look by it whether
                     they have a decoder.
    crf              the usual quality: hard to tell from lossless.
    max_crf          the lowest quality.
    options          keep the encoder from holding frames back to look ahead: frames in it are lost in a crash.
    quality_options  the options that ask for a crf.
    pixel_format     libav's name of its input: 4:2:0 in any layout.
    learns           whether it gives pictures the quality that those before have called for. Such an encoder starts
                     more coarsely than it goes on, unless it has learnt; see `FrameEncoder.learn`.
    """

    encoder: str
    containers: tuple[str, ...]
    name_in_types: str
    crf: int
    max_crf: int
    options: Mapping[str, str]
    quality_options: Callable[[float], Mapping[str, str]] = _by_crf
    pixel_format: str = "yuv420p"
    learns: bool = False


CODECS = {
    "h264": Codec(
        encoder="libx264",
        containers=("mp4", "matroska"),
        name_in_types="avc1.640033",
        crf=18,
        max_crf=51,
        # a quarter of the usual preset's time, for a file about as large. aud: two key frames in a row, where a part
        # ends with one, may have the same number, and some decoders would take them for one picture
        options={"preset": "veryfast", "tune": "zerolatency", "forced-idr": "1", "aud": "1"},
        learns=True,
    ),
    "h265": Codec(
        encoder="libx265",
        containers=("mp4", "matroska"),
        name_in_types="hvc1.1.6.L153.B0",
        crf=20,
        max_crf=51,
        options={"tune": "zerolatency", "x265-params": "log-level=error", "forced-idr": "1"},
        learns=True,
    ),
    "vp9": Codec(
        encoder="libvpx-vp9",
        containers=("webm", "matroska"),
        name_in_types="vp09.00.51.08",
        crf=24,
        max_crf=63,
        options={"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "lag-in-frames": "0"},
    ),
    "av1": Codec(
        encoder="libsvtav1",
        containers=("mp4", "webm", "matroska"),
        name_in_types="av01.0.12M.08",
        crf=28,
        max_crf=63,
        options={"preset": "8", "svtav1-params": "pred-struct=1:lookahead=0"},
    ),
}
# file ending -> (libav's name of the container, the codec that most of its players decode)
CONTAINERS = {".mp4": ("mp4", "h264"), ".webm": ("webm", "vp9"), ".mkv": ("matroska", "h264")}


@dataclass(frozen=True)
class VideoSettings:
    """What a video is encoded to, whatever the codec.

    container  libav's name of the file format: mp4, webm or matroska.
    rate       frames a second.
    crf        quality, on the codec's scale.
    """

    container: str
    rate: Fraction
    crf: float
    height: int
    width: int


class FrameEncoder:
    """One video's encoder. Colours become BT.709, limited range, 4:2:0, and are tagged so.

    stream  the encoder's stream, whose parameters a muxer copies.
    name    libav's name of the encoder.

    Raises ValueError if the size cannot be encoded.
    """

    def __init__(self, codec: Codec, settings: VideoSettings):
        width, height, rate = settings.width, settings.height, settings.rate
        if height % 2 or width % 2:
            raise ValueError(f"frames of {width} x {height} pixels cannot be written: width and height must be even.")
        # gives the encoder the settings of its format; the packets go to files of their own
        self._container = av.open(io.BytesIO(), "w", format=settings.container)
        options = {**codec.options, **codec.quality_options(settings.crf)}
        stream = self._container.add_stream(codec.encoder, rate=rate, options=options)
        # add_stream gives streams of all kinds
        assert isinstance(stream, VideoStream)
        self.stream = stream
        self.name = codec.encoder
        self._frames = 0
        # pictures that were encoded for nothing
        self._learnt = 0
        self._learns = codec.learns
        self._frame_s = 1 / rate
        self._pixel_format = codec.pixel_format
        stream.width = width
        stream.height = height
        stream.pix_fmt = codec.pixel_format
        context = stream.codec_context
        context.gop_size = max(1, round(KEYFRAME_INTERVAL_S * rate))
        context.color_primaries = BT709
        context.color_trc = BT709
        context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        try:
            with kept_scheduling():
                self._container.start_encoding()
        except FFmpegError as error:
            raise ValueError(
                f"{codec.encoder} cannot encode {width} x {height} pixels at {rate} fps: {error.strerror}."
            ) from error

    def learn(self, pictures: np.ndarray) -> None:
        """Encode the first pictures [F, H, W, 3] uint8 of a part once for nothing, before they are encoded.

        An encoder that learns then gives the part's first key frame what it gives key frames in the middle of a film;
        at 64 x 64 pixels a part would else lose up to 2 dB at its start, and regain it over a second. Nothing of the
        pictures stays but what they took, and the next one can be decoded by itself. Does nothing for encoders that do
        not learn, and for less than two pictures, which say nothing of how much a film moves.
        """
        if not self._learns or len(pictures) < 2:
            return
        # there and back again where they are few
        to_and_fro = cycle([*range(len(pictures)), *range(len(pictures) - 2, 0, -1)])
        for number in islice(to_and_fro, LEARNING_FRAMES):
            self.encode(pictures[number])
        self._learnt = self._frames

    def encode(self, picture: np.ndarray) -> list[av.Packet]:
        """Encode a picture [H, W, 3] uint8 -> its packets; none if the encoder holds it back all the same."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format=self._pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts = self._frames
        frame.time_base = self._frame_s
        if self._learnt and self._frames == self._learnt:
            frame.pict_type = PictureType.I
        self._frames += 1
        return self._after_learning(self.stream.encode(frame))

    def flush(self) -> list[av.Packet]:
        """The packets of frames that were held back. Ends the encoding."""
        return self._after_learning(self.stream.encode(None))

    def _after_learning(self, packets: list[av.Packet]) -> list[av.Packet]:
        """Packets without those of pictures that were encoded for nothing, timed as if these had not been."""
        if not self._learnt:
            return packets
        learnt_s = self._learnt * self._frame_s
        # half a frame: times are rounded to the stream's units
        kept = [packet for packet in packets if packet_time_s(packet) > learnt_s - self._frame_s / 2]
        for packet in kept:
            shift(packet, -learnt_s)
        return kept


@contextmanager
def kept_scheduling() -> Iterator[None]:
    """Restore the scheduling policy of this thread, and give it to threads that were started meanwhile.

    As root, SVT-AV1 makes the thread that opens it and all of its own threads real-time ones of the highest priority.
    Everything that the process starts from then on would inherit that, and could starve the machine.
    """
    tasks = Path("/proc/self/task")
    if not hasattr(os, "sched_getscheduler") or not tasks.exists():
        yield
        return
    before = {task.name for task in tasks.iterdir()}
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
        for task in tasks.iterdir():
            # a thread may have ended since the folder was read
            with suppress(ProcessLookupError):
                if task.name not in before:
                    os.sched_setscheduler(int(task.name), policy, parameters)


def frame_rate(fps: float | Fraction) -> Fraction:
    """Frames a second as a fraction; 23.976, 29.97 and other NTSC rates as n * 1000/1001.

    Raises ValueError unless fps is from MIN_FPS to MAX_FPS.
    """
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ValueError(f"fps is {fps}, but must be from {MIN_FPS} to {MAX_FPS}.")
    if isinstance(fps, (int, Fraction)):
        return Fraction(fps)
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    if not float(fps).is_integer() and abs(fps - ntsc) < 1e-3:
        return ntsc
    return Fraction(float(fps)).limit_denominator(1001)


def choose_codec(ending: str, codec: str | None = None) -> tuple[str, Codec]:
    """(libav's container, codec) for a file ending (`.mp4`, `.webm`, `.mkv`).

    codec  a key of CODECS; None: the usual one of the container.

    Raises ValueError for another ending, and for a codec that the container does not take or this computer's libav
    lacks.
    """
    if ending.lower() not in CONTAINERS:
        raise ValueError(f"a video's name must end in {', '.join(CONTAINERS)}, but it ends in {ending!r}.")
    container, usual = CONTAINERS[ending.lower()]
    fitting = [
        name for name, known in CODECS.items() if container in known.containers and known.encoder in av.codecs_available
    ]
    name = usual if codec is None else codec
    if name not in fitting:
        there = ", ".join(fitting) or "none"
        raise ValueError(f"codec is {name!r}, but for {ending} files this computer has {there}.")
    return container, CODECS[name]


def media_type(container: str, codec: Codec, *, sound: bool) -> str | None:
    """The media type of a file with its codecs, such as `video/mp4; codecs="avc1.640033"`; None for mkv.

    container  libav's name of it.
    sound      whether there is a track of it.
    """
    types = {"mp4": ("video/mp4", "mp4a.40.2"), "webm": ("video/webm", "opus")}
    if container not in types:
        return None
    kind, sound_codec = types[container]
    return f'{kind}; codecs="{", ".join([codec.name_in_types, *([sound_codec] if sound else [])])}"'


def check_crf(codec: Codec, crf: float | None) -> float:
    """The crf, or the codec's usual one for None. Raises ValueError if it is out of range."""
    if crf is None:
        return codec.crf
    if not 0 <= crf <= codec.max_crf:
        raise ValueError(
            f"crf is {crf}, but for {codec.encoder} must be from 0 (best) to {codec.max_crf} (smallest file)."
        )
    return crf
