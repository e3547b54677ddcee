"""Frames to compressed packets: which codecs there are, and how each is asked for a frame at once."""

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

MIN_FPS, MAX_FPS = 0.1, 1000
KEYFRAME_INTERVAL_S = 2
# of ISO/IEC 23091-2, for primaries, transfer and matrix
BT709 = 1
LIMITED_RANGE = 1


def _by_crf(crf: float) -> dict[str, str]:
    return {"crf": str(crf)}


@dataclass(frozen=True)
class Codec:
    """An encoder, the containers (by libav's names) it goes into, and its settings.

    crf is its usual quality: hard to tell from lossless. The options keep it from holding frames back to
    look ahead, since frames inside the encoder are lost in a crash.

    quality  the options that ask for a crf.
    pixels   what it takes, by libav's name: 4:2:0 in any layout.
    """

    encoder: str
    containers: tuple[str, ...]
    crf: int
    max_crf: int
    options: Mapping[str, str]
    quality: Callable[[float], Mapping[str, str]] = _by_crf
    pixels: str = "yuv420p"


CODECS = {
    # a quarter of the usual preset's time, for a file about as large
    "h264": Codec("libx264", ("mp4", "matroska"), 18, 51, {"preset": "veryfast", "tune": "zerolatency"}),
    "h265": Codec("libx265", ("mp4", "matroska"), 20, 51, {"tune": "zerolatency", "x265-params": "log-level=error"}),
    "vp9": Codec(
        "libvpx-vp9",
        ("webm", "matroska"),
        24,
        63,
        {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "lag-in-frames": "0"},
    ),
    "av1": Codec(
        "libsvtav1",
        ("mp4", "webm", "matroska"),
        28,
        63,
        {"preset": "8", "svtav1-params": "pred-struct=1:lookahead=0"},
    ),
}
# file ending -> libav's name of the container, and the codec that most players of it know
CONTAINERS = {".mp4": ("mp4", "h264"), ".webm": ("webm", "vp9"), ".mkv": ("matroska", "h264")}


class FrameEncoder:
    """One video's encoder. Colours become BT.709, limited range, 4:2:0, and are tagged so.

    `stream` carries the settings that a container needs to know of.
    Raises ValueError if the size cannot be encoded.
    """

    def __init__(self, codec: Codec, container: str, rate: Fraction, crf: float, height: int, width: int):
        if height % 2 or width % 2:
            raise ValueError(f"frames of {width} x {height} pixels cannot be written: width and height must be even.")
        # only lends the encoder its settings: the packets go elsewhere
        self._container = av.open(io.BytesIO(), "w", format=container)
        options = {**codec.options, **codec.quality(crf)}
        self.stream = self._container.add_stream(codec.encoder, rate=rate, options=options)
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, codec.pixels
        context = self.stream.codec_context
        context.gop_size = max(1, round(KEYFRAME_INTERVAL_S * rate))
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        try:
            with ordinary_priority():
                self._container.start_encoding()
        except av.FFmpegError as error:
            raise ValueError(
                f"{codec.encoder} cannot encode {width} x {height} pixels at {rate} fps: {error.strerror}."
            ) from error
        self.name = codec.encoder
        self._frames = 0
        self._frame_s = 1 / rate

    def encode(self, picture: np.ndarray) -> list[av.Packet]:
        """picture [H, W, 3] uint8 -> its packets; none where the encoder holds it back after all."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format=self.stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts, frame.time_base = self._frames, self._frame_s
        self._frames += 1
        return self.stream.encode(frame)

    def flush(self) -> list[av.Packet]:
        """The packets of frames that were held back. Ends the encoding."""
        return self.stream.encode(None)


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Give this thread, and those that were started meanwhile, the scheduling that this thread had before.

    Where it may, as root, SVT-AV1 makes the thread that opens it and all of its own real-time ones of the highest
    priority. Everything that the process starts from then on would inherit that, and could starve the machine.
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
            # a thread may have ended by now
            with suppress(ProcessLookupError):
                if task.name not in before:
                    os.sched_setscheduler(int(task.name), policy, parameters)


def frame_rate(fps: float | Fraction) -> Fraction:
    """fps as a fraction; 23.976, 29.97 and their like as n * 1000/1001. Raises ValueError if out of range."""
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ValueError(f"fps is {fps}, but must be from {MIN_FPS} to {MAX_FPS}.")
    if isinstance(fps, (int, Fraction)):
        return Fraction(fps)
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    if not float(fps).is_integer() and abs(fps - ntsc) < 1e-3:
        return ntsc
    return Fraction(float(fps)).limit_denominator(1001)


def choose_codec(ending: str, codec: str | None = None) -> tuple[str, Codec]:
    """libav's container for a file ending (`.mp4`, `.webm`, `.mkv`), and the codec named, or the usual one.

    Raises ValueError if that ending is unknown, or its container or this computer's libav lacks the codec.
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
    """crf, or the codec's usual one for None. Raises ValueError if it is out of range."""
    if crf is None:
        return codec.crf
    if not 0 <= crf <= codec.max_crf:
        raise ValueError(
            f"crf is {crf}, but for {codec.encoder} must be from 0 (best) to {codec.max_crf} (smallest file)."
        )
    return crf
