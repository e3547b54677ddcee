"""A sound track for a video that is still being made: as much of it as there are pictures, and no more."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

LAYOUTS = {1: "mono", 2: "stereo"}
# libav's name of a container -> encoder, and the sampling rates that it takes
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
    """samples [channels, n] floating point from -1 to 1, mono or stereo; rate in samples a second.

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
        """What is left of it from a time on; where that is nothing, a moment of silence."""
        samples = self.samples[:, round(start_s * self.rate) :]
        return Sound(samples if samples.shape[1] else torch.zeros(len(self.samples), 1), self.rate)


class SoundEncoder:
    """Encodes a sound piece by piece. `stream` carries the settings that a container needs to know of.

    delay_s  how much earlier than the sound its first packet starts: what a decoder makes of the difference is no
             sound yet. Known after the first packet.
    """

    def __init__(self, sound: Sound, container: str):
        encoder, rates = ENCODERS[container]
        if encoder not in av.codecs_available:
            raise ValueError(f"this computer's libav lacks {encoder}, which {container} files need for their sound.")
        self._sound, self._layout = sound, LAYOUTS[len(sound.samples)]
        # only lends the encoder its settings: the packets go elsewhere
        self._container = av.open(io.BytesIO(), "w", format=container)
        rate = sound.rate if sound.rate in rates else USUAL_RATE
        self.stream = self._container.add_stream(encoder, rate=rate, layout=self._layout)
        self.stream.codec_context.bit_rate = BIT_RATE
        self._container.start_encoding()
        self._fed = 0
        self.delay_s = Fraction(0)

    def until(self, end_s: Fraction) -> list[av.Packet]:
        """Packets of the sound up to a time; a little of it stays in the encoder. Behind its end there is silence."""
        packets: list[av.Packet] = []
        end = round(end_s * self._sound.rate)
        while self._fed < end:
            count = min(self._sound.rate, end - self._fed)
            packets += self._noted(self.stream.encode(self._frame(count)))
            self._fed += count
        return packets

    def flush(self) -> list[av.Packet]:
        """What the encoder still holds. Ends the encoding."""
        return self._noted(self.stream.encode(None)) if self._fed else []

    def _frame(self, count: int) -> av.AudioFrame:
        piece = self._sound.samples[:, self._fed : self._fed + count].float().cpu()
        silence = torch.zeros(len(piece), count - piece.shape[1])
        samples = torch.cat((piece, silence), dim=1).clamp(-1, 1).numpy()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts = self._sound.rate, self._fed
        frame.time_base = Fraction(1, self._sound.rate)
        return frame

    def _noted(self, packets: list[av.Packet]) -> list[av.Packet]:
        for packet in packets:
            self.delay_s = max(self.delay_s, -packet.pts * packet.time_base)
        return packets
