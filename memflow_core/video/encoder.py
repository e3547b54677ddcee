"""Video encoders: the codecs of each container, their low-latency settings, and frames to compressed packets."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream

MIN_FPS, MAX_FPS = 0.1, 1000
KEYFRAME_INTERVAL_S = 2
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
    crf              the usual quality: hard to tell from lossless.
    max_crf          the lowest quality.
    options          keep the encoder from holding frames back to look ahead: frames in it are lost in a crash.
    quality_options  the options that ask for a crf.
    pixel_format     libav's name of its input: 4:2:0 in any layout.
    """

    encoder: str
    containers: tuple[str, ...]
    crf: int
    max_crf: int
    options: Mapping[str, str]
    quality_options: Callable[[float], Mapping[str, str]] = _by_crf
    pixel_format: str = "yuv420p"


CODECS = {
    "h264": Codec(
        encoder="libx264",
        containers=("mp4", "matroska"),
        crf=18,
        max_crf=51,
        # a quarter of the usual preset's time, for a file about as large
        options={"preset": "veryfast", "tune": "zerolatency"},
    ),
    "h265": Codec(
        encoder="libx265",
        containers=("mp4", "matroska"),
        crf=20,
        max_crf=51,
        options={"tune": "zerolatency", "x265-params": "log-level=error"},
    ),
    "vp9": Codec(
        encoder="libvpx-vp9",
        containers=("webm", "matroska"),
        crf=24,
        max_crf=63,
        options={"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "lag-in-frames": "0"},
    ),
    "av1": Codec(
        encoder="libsvtav1",
        containers=("mp4", "webm", "matroska"),
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

    def encode(self, picture: np.ndarray) -> list[av.Packet]:
        """Encode a picture [H, W, 3] uint8 -> its packets; none if the encoder holds it back all the same."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format=self._pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts = self._frames
        frame.time_base = self._frame_s
        self._frames += 1
        return self.stream.encode(frame)

    def flush(self) -> list[av.Packet]:
        """The packets of frames that were held back. Ends the encoding."""
        return self.stream.encode(None)


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


def check_crf(codec: Codec, crf: float | None) -> float:
    """The crf, or the codec's usual one for None. Raises ValueError if it is out of range."""
    if crf is None:
        return codec.crf
    if not 0 <= crf <= codec.max_crf:
        raise ValueError(
            f"crf is {crf}, but for {codec.encoder} must be from 0 (best) to {codec.max_crf} (smallest file)."
        )
    return crf
