"""Hardware video encoders, chosen by a trial.

libav lists encoders whether or not the computer has the hardware, so each is tried with the video's own settings first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from .encoder import Codec, FrameEncoder, VideoSettings

# mean absolute difference of colours, of 255, between a picture and its decoded frame. A wrong setting makes more,
# compression does not
MAX_COLOUR_ERROR = 6.0


class _Format(NamedTuple):
    """name starts the names of the hardware encoders of a format; decoder decodes it."""

    name: str
    decoder: str


class _Hardware(NamedTuple):
    """Settings of one maker's encoders: low latency, quality, input."""

    options: Mapping[str, str]
    quality_options: Callable[[float], Mapping[str, str]]
    pixel_format: str


# by the encoder in software
_FORMATS = {
    "libx264": _Format("h264", "h264"),
    "libx265": _Format("hevc", "hevc"),
    "libsvtav1": _Format("av1", "libdav1d"),
}


def _nvenc(crf: float) -> Mapping[str, str]:
    return {"rc": "vbr", "b": "0", "cq": str(crf)}


def _qsv(crf: float) -> Mapping[str, str]:
    return {"global_quality": str(round(crf))}


def _amf(crf: float) -> Mapping[str, str]:
    return {"rc": "cqp", "qp_i": str(round(crf)), "qp_p": str(round(crf))}


def _videotoolbox(crf: float) -> Mapping[str, str]:
    # its quality goes from 1 to 100, 100 the best; libav counts it in units of 118
    return {"flags": "+qscale", "global_quality": str(118 * max(1, round(100 - 1.8 * crf)))}


# by the end of the encoders' names, the preferred ones first
_HARDWARE = {
    "nvenc": _Hardware({"preset": "p5", "tune": "ll", "zerolatency": "1", "delay": "0", "bf": "0"}, _nvenc, "yuv420p"),
    "videotoolbox": _Hardware({"realtime": "1", "bf": "0"}, _videotoolbox, "yuv420p"),
    "qsv": _Hardware({"preset": "faster", "async_depth": "1", "bf": "0"}, _qsv, "nv12"),
    "amf": _Hardware({"usage": "lowlatency", "bf": "0"}, _amf, "nv12"),
}


def hardware_codecs(codec: Codec) -> list[Codec]:
    """libav's hardware encoders of the same format, the preferred ones first, whether or not this computer has them.

    VAAPI and V4L2 are left out: they do not take plain frames in RAM.
    """
    if codec.encoder not in _FORMATS:
        return []
    name = _FORMATS[codec.encoder].name
    return [
        replace(
            codec,
            encoder=f"{name}_{maker}",
            options=hardware.options,
            quality_options=hardware.quality_options,
            pixel_format=hardware.pixel_format,
            # not every one of them makes a key frame where it is asked to
            learns=False,
        )
        for maker, hardware in _HARDWARE.items()
        if f"{name}_{maker}" in av.codecs_available
    ]


def prefer_hardware(codec: Codec, settings: VideoSettings) -> Codec:
    """The first hardware encoder of the codec's format that passes its trial, or else the codec itself."""
    for other in hardware_codecs(codec):
        if passes_trial(other, settings, decoder=_FORMATS[codec.encoder].decoder):
            return other
    return codec


def passes_trial(codec: Codec, settings: VideoSettings, *, decoder: str) -> bool:
    """Whether an encoder opens, gives a frame at once, and the frame decodes to the picture."""
    picture = trial_picture(settings.height, settings.width)
    try:
        encoder = FrameEncoder(codec, settings)
        packets = encoder.encode(picture)
        context = av.CodecContext.create(decoder, "r")
        # create gives contexts of all kinds
        assert isinstance(context, VideoCodecContext)
        context.extradata = encoder.stream.codec_context.extradata
        decoded = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    except (ValueError, OSError, FFmpegError):
        return False
    return len(decoded) == 1 and _colour_error(decoded[0], picture) < MAX_COLOUR_ERROR


def trial_picture(height: int, width: int) -> np.ndarray:
    """A picture [H, W, 3] uint8 whose colours change slowly, as in most pictures."""
    rows, columns = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    return (255 * np.stack((rows, columns, 1 - (rows + columns) / 2), axis=-1)).astype(np.uint8)


def _colour_error(frame: av.VideoFrame, picture: np.ndarray) -> float:
    shown = frame.reformat(format="rgb24", src_colorspace="ITU709", src_color_range="MPEG").to_ndarray()
    return float(np.abs(shown.astype(int) - picture).mean()) if shown.shape == picture.shape else np.inf
