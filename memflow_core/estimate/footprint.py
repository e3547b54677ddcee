"""Bytes that a run holds at once on the device and in RAM: a stream's, and those of the decode behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..config import LatentShape
from .stream import Estimate

PIXEL_BYTES = 3 * 4  # of a decoded picture in RAM: three colours in float32
WAITING_BYTES = 2 * 3  # of two pictures on their way to the encoder: three colours in 8 bits

# of a VAE by the pixels of a latent's side, 8 for that of Wan 2.1 and 16 for that of Wan 2.2: numbers for each pixel of
# the picture, counted in a decode of 3 latent frames at a time, and of one
CARRY_NUMBERS = {8: 2365, 16: 1785}  # the last two inputs of every temporal convolution
DECODE_NUMBERS = {8: 1150, 16: 1850}  # what a decode needs beside them; with 16, the frames of a chunk of 8 among it
# of a light decoder, one latent frame at a time, from its layers: three blocks that look back at each of its sizes; its
# last growth in time, before and after, and the frames that are finished
LIGHT_CARRY_NUMBERS = 84
LIGHT_DECODE_NUMBERS = 320


@dataclass(frozen=True)
class Decode:
    """Bytes of a decode to pictures, chunk by chunk, while the model stays where it is.

    weights  of the VAE.
    work     peak of one chunk's decode.
    carry    what stays from chunk to chunk, on the device and, in the end, in RAM as part of the state.
    light    whether a light decoder stands in the VAE's place.
    beside   whether it goes on while the next chunk is sampled.
    apart    whether the VAE is on another device than the model, whose bytes it then takes nothing of.
    """

    weights: int
    work: int
    carry: int
    light: bool = False
    beside: bool = False
    apart: bool = False

    @property
    def device_bytes(self) -> int:
        """What a decode takes of the VAE's device."""
        return self.weights + self.carry + self.work

    @staticmethod
    def of(
        shape: LatentShape,
        weights: int,
        number_bytes: int,
        light: bool = False,
        beside: bool = False,
        *,
        apart: bool = False,
    ) -> Decode:
        size = shape.batch * shape.rows * shape.columns * shape.pixels**2 * number_bytes
        # another size of latent is taken for the larger
        side = shape.pixels if shape.pixels in DECODE_NUMBERS else 16
        work, carry = (DECODE_NUMBERS[side], CARRY_NUMBERS[side])
        if light:
            work, carry = LIGHT_DECODE_NUMBERS, LIGHT_CARRY_NUMBERS
        return Decode(weights, work=work * size, carry=carry * size, light=light, beside=beside, apart=apart)


@dataclass(frozen=True)
class Footprint:
    """Bytes that a run holds at once, on the device and in RAM.

    weights   bytes of the model's weights.
    decode    None where the run ends in a latent.
    model     English name of the model that stands for the one to come; "" where it is the very model.
    before    passes that read pictures or a compact state before the first chunk.
    open_end  whether the story goes on until it is ended, and the estimate is of the longest one.
    """

    estimate: Estimate
    shape: LatentShape
    weights: int
    decode: Decode | None
    model: str = ""
    before: int = 0
    open_end: bool = False

    @property
    def passes(self) -> int:
        return self.estimate.forwards + self.before

    @property
    def device_bytes(self) -> int:
        """Peak on the model's device. A decode and a pass through the model run at once only where the decode goes on
        beside the sampling."""
        estimate = self.estimate
        if self.decode is None or self.decode.apart:
            return self.weights + estimate.device_bytes
        kept = estimate.device_bytes - estimate.activation_bytes + self.decode.weights + self.decode.carry
        together = sum if self.decode.beside else max
        return self.weights + kept + together((estimate.activation_bytes, self.decode.work))

    def within(self, room: int | None) -> Footprint:
        """Return the same with its decode beside the sampling only if that fits into so many bytes; None: it does."""
        if room is None or self.decode is None or not self.decode.beside or self.device_bytes <= room:
            return self
        if self.decode.apart:
            # to wait for it would free nothing
            return self
        return replace(self, decode=replace(self.decode, beside=False))

    @property
    def fixed_bytes(self) -> int:
        """Part of the peak on the device that cannot be kept elsewhere until it is needed: all but weights."""
        counted = 0 if self.decode is None or self.decode.apart else self.decode.weights
        return self.device_bytes - self.weights - self.estimate.control_weight_bytes - counted

    @property
    def picture_bytes(self) -> int:
        """Decoded pictures that are in RAM at once: those of a chunk and of two that are being written, or, of a
        latent, all of them."""
        pixels = self.shape.batch * self.shape.rows * self.shape.columns * self.shape.pixels**2
        frames = self.estimate.video_frames
        if self.decode is None:
            return frames * pixels * PIXEL_BYTES
        return -(-frames // self.estimate.chunks) * pixels * (PIXEL_BYTES + WAITING_BYTES)

    @property
    def ram_bytes(self) -> int:
        """Peak in RAM beside the models' own files: the state, named pins and the archive, kept there, and pictures."""
        carry = 0 if self.decode is None else self.decode.carry
        kept = self.estimate.pin_bytes + self.estimate.archive_bytes
        return self.estimate.state_bytes + kept + self.picture_bytes + carry

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers for programs, fit for JSON."""
        return self.estimate.to_dict() | {
            "passes": self.passes,
            "open_end": self.open_end,
            "model": self.model,
            "weights_bytes": self.weights,
            "decode_bytes": 0 if self.decode is None else self.decode.work,
            "vae_bytes": 0 if self.decode is None else self.decode.weights + self.decode.carry,
            "peak_vram_bytes": self.device_bytes,
            "peak_ram_bytes": self.ram_bytes,
            "picture_bytes": self.picture_bytes,
        }
