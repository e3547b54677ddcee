"""Which encoder a film's frames are encoded with: chosen once for a size, and opened anew for each part."""

from __future__ import annotations

from fractions import Fraction

from .encoder import Codec, FrameEncoder, VideoSettings
from .hardware import prefer_hardware
from .parts import encoding_of


class EncoderChoice:
    """Opens encoders for one film.

    container  libav's name of the file format.
    rate       frames a second.
    crf        quality, on the codec's scale.
    hardware   whether to take a hardware encoder if one passes its trial.
    """

    def __init__(self, codec: Codec, *, container: str, rate: Fraction, crf: float, hardware: bool):
        self._codec = codec
        self._container = container
        self._rate = rate
        self._crf = crf
        self._hardware = hardware
        self._chosen: tuple[Codec, VideoSettings] | None = None
        self._digest: str | None = None

    def open(self, height: int, width: int) -> FrameEncoder:
        """Open an encoder for frames of a size. Raises ValueError if the size cannot be encoded."""
        return FrameEncoder(*self._choose(height, width))

    def digest(self, height: int, width: int) -> str:
        """Digest of what frames of a size are encoded with, see `encoding_of`. Opens an encoder the first time.

        Raises ValueError if the size cannot be encoded.
        """
        codec, settings = self._choose(height, width)
        if self._digest is None:
            self._digest = encoding_of(FrameEncoder(codec, settings), codec, settings)
        return self._digest

    def _choose(self, height: int, width: int) -> tuple[Codec, VideoSettings]:
        settings = VideoSettings(container=self._container, rate=self._rate, crf=self._crf, height=height, width=width)
        if self._chosen is None or self._chosen[1] != settings:
            codec = prefer_hardware(self._codec, settings) if self._hardware else self._codec
            self._chosen, self._digest = (codec, settings), None
        return self._chosen
