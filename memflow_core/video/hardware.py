"""Video encoders in hardware. That libav knows one says nothing: each is tried at the very size before it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import av
import numpy as np

from .encoder import Codec, FrameEncoder

# mean difference of colours, of 255, between a picture and what comes back: more is a wrong setting, not compression
MOST_WRONG = 6.0
# encoder in software -> how those in hardware are called, and what reads either
_NAMES = {"libx264": ("h264", "h264"), "libx265": ("hevc", "hevc"), "libsvtav1": ("av1", "libdav1d")}


def _nvenc(crf: float) -> Mapping[str, str]:
    return {"rc": "vbr", "b": "0", "cq": str(crf)}


def _qsv(crf: float) -> Mapping[str, str]:
    return {"global_quality": str(round(crf))}


def _amf(crf: float) -> Mapping[str, str]:
    return {"rc": "cqp", "qp_i": str(round(crf)), "qp_p": str(round(crf))}


def _videotoolbox(crf: float) -> Mapping[str, str]:
    # counted from 1 to 100, the other way round; libav's unit of it is 118
    return {"flags": "+qscale", "global_quality": str(118 * max(1, round(100 - 1.8 * crf)))}


# by the end of an encoder's name, in order: options that make it give every frame at once, crf's own, pixels it takes
_KINDS = {
    "nvenc": ({"preset": "p5", "tune": "ll", "zerolatency": "1", "delay": "0", "bf": "0"}, _nvenc, "yuv420p"),
    "videotoolbox": ({"realtime": "1", "bf": "0"}, _videotoolbox, "yuv420p"),
    "qsv": ({"preset": "faster", "async_depth": "1", "bf": "0"}, _qsv, "nv12"),
    "amf": ({"usage": "lowlatency", "bf": "0"}, _amf, "nv12"),
}


def in_hardware(codec: Codec) -> list[Codec]:
    """Encoders in hardware of the same kind of video, the preferred one first, whether or not this computer has them.

    VAAPI and V4L2 are not among them: they take no frames from RAM as they are.
    """
    if codec.encoder not in _NAMES:
        return []
    name = _NAMES[codec.encoder][0]
    return [
        Codec(f"{name}_{kind}", codec.containers, codec.crf, codec.max_crf, options, quality, pixels)
        for kind, (options, quality, pixels) in _KINDS.items()
        if f"{name}_{kind}" in av.codecs_available
    ]


def quickest(codec: Codec, container: str, rate: Fraction, crf: float, height: int, width: int) -> Codec:
    """The first encoder in hardware that passes its trial at this size, or else the codec itself."""
    for other in in_hardware(codec):
        if passes(other, _NAMES[codec.encoder][1], container, rate, crf, height, width):
            return other
    return codec


def passes(codec: Codec, decoder: str, container: str, rate: Fraction, crf: float, height: int, width: int) -> bool:
    """Whether an encoder opens, gives a frame at once, and the frame shows what it was given."""
    picture = trial_picture(height, width)
    try:
        encoder = FrameEncoder(codec, container, rate, crf, height, width)
        packets = encoder.encode(picture)
        reader = av.CodecContext.create(decoder, "r")
        reader.extradata = encoder.stream.codec_context.extradata
        shown = [frame for packet in [*packets, None] for frame in reader.decode(packet)]
    except (ValueError, OSError, av.FFmpegError):
        return False
    return len(shown) == 1 and _difference(shown[0], picture) < MOST_WRONG


def trial_picture(height: int, width: int) -> np.ndarray:
    """[H, W, 3] uint8: colours that change slowly, as in most pictures."""
    rows, columns = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    return (255 * np.stack((rows, columns, 1 - (rows + columns) / 2), axis=-1)).astype(np.uint8)


def _difference(frame: av.VideoFrame, picture: np.ndarray) -> float:
    shown = frame.reformat(format="rgb24", src_colorspace="ITU709", src_color_range="MPEG").to_ndarray()
    return float(np.abs(shown.astype(int) - picture).mean()) if shown.shape == picture.shape else np.inf
