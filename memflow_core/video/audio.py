"""Encode a sound track beside a video that is still being made, as far as there are pictures.

Priming: an AAC or Opus encoder puts samples of its own before the sound, so that its first packet starts below zero.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from torch import Tensor

from .mux import packet_time_s

LAYOUTS = {1: "mono", 2: "stereo"}  # by the number of channels
# libav's name of a container -> (encoder, sampling rates that it takes)
ENCODERS = {
    "mp4": ("aac", (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)),
    "matroska": ("aac", (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)),
    "webm": ("libopus", (48000,)),
}
USUAL_RATE = 48000
BIT_RATE = 192_000
MAX_RATE = 768_000


@dataclass(frozen=True)
class Sound:
    """A sound: samples [1 or 2 channels, n], floating point from -1 to 1, at `rate` samples a second.

    Raises ValueError for anything else.
    """

    samples: Tensor
    rate: int

    def __post_init__(self) -> None:
        shape = list(self.samples.shape)
        if len(shape) != 2 or shape[0] not in LAYOUTS or shape[1] < 1:
            raise ValueError(f"the audio has shape {shape}, but must be [1 or 2 channels, samples], not empty.")
        if not self.samples.is_floating_point() or not bool(torch.isfinite(self.samples).all()):
            raise ValueError("the audio must be finite numbers from -1 to 1: check the node that made it.")
        if not isinstance(self.rate, int) or not 1 <= self.rate <= MAX_RATE:
            raise ValueError(f"the audio has {self.rate!r} samples a second, but must have from 1 to {MAX_RATE}.")

    def after(self, start_s: float) -> Sound:
        """The rest of the sound from a time on; one silent sample if there is none."""
        samples = self.samples[:, round(start_s * self.rate) :]
        return Sound(samples if samples.shape[1] else torch.zeros(len(self.samples), 1), self.rate)


class SoundEncoder:
    """Encodes a sound piece by piece.

    container  libav's name of the file format, which decides the encoder: AAC in mp4 and matroska, Opus in webm.
    stream     the encoder's stream, whose parameters a muxer copies.
    priming_s  how long the encoder's own samples before the sound last; known after the first packet.

    Raises ValueError if this computer's libav lacks the encoder.
    """

    def __init__(self, sound: Sound, container: str):
        encoder, rates = ENCODERS[container]
        if encoder not in av.codecs_available:
            raise ValueError(f"this computer's libav lacks {encoder}, which {container} files need for their sound.")
        self._sound = sound
        self._layout = LAYOUTS[len(sound.samples)]
        # gives the encoder the settings of its format; the packets go to files of their own
        self._container = av.open(io.BytesIO(), "w", format=container)
        rate = sound.rate if sound.rate in rates else USUAL_RATE
        stream = self._container.add_stream(encoder, rate=rate, layout=self._layout)
        # add_stream gives streams of all kinds
        assert isinstance(stream, AudioStream)
        self.stream = stream
        self.stream.codec_context.bit_rate = BIT_RATE
        self._container.start_encoding()
        self._samples_encoded = 0
        self.priming_s = Fraction(0)

    def encode_until(self, end_s: Fraction) -> list[av.Packet]:
        """Encode on to a time, with silence after the sound's end. A little stays in the encoder."""
        packets: list[av.Packet] = []
        end = round(end_s * self._sound.rate)
        while self._samples_encoded < end:
            count = min(self._sound.rate, end - self._samples_encoded)
            packets += self._measure_priming(self.stream.encode(self._next_frame(count)))
            self._samples_encoded += count
        return packets

    def flush(self) -> list[av.Packet]:
        """The packets that the encoder still holds. Ends the encoding."""
        return self._measure_priming(self.stream.encode(None)) if self._samples_encoded else []

    def _next_frame(self, count: int) -> av.AudioFrame:
        piece = self._sound.samples[:, self._samples_encoded : self._samples_encoded + count].float().cpu()
        silence = torch.zeros(len(piece), count - piece.shape[1])
        samples = torch.cat((piece, silence), dim=1).clamp(-1, 1).numpy()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate = self._sound.rate
        frame.pts = self._samples_encoded
        frame.time_base = Fraction(1, self._sound.rate)
        return frame

    def _measure_priming(self, packets: list[av.Packet]) -> list[av.Packet]:
        """The same packets; the first one of the sound starts as much before zero as the priming lasts."""
        for packet in packets:
            self.priming_s = max(self.priming_s, -packet_time_s(packet))
        return packets
