"""The most that a run holds at once, on the device and in RAM: its estimate, and what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .config import LatentShape
from .estimate import GB, Estimate, ModelSize
from .said import Said, say

SIDE = 8  # pixels of a latent's side
PIXEL_BYTES = 3 * 4  # of a decoded picture in RAM: three colours in float32
WAITING_BYTES = 2 * 3  # of two pictures on their way to the encoder: three colours in 8 bits
MOST_SWITCHES = 6  # that are told one by one

# of the Wan 2.1 VAE: numbers for each pixel of the picture, counted in a decode of 3 latent frames at a time
CARRY_NUMBERS = 2365  # the last two inputs of every temporal convolution
DECODE_NUMBERS = 1150  # what a decode needs beside them
# of a light decoder, one latent frame at a time, from its layers: three blocks that look back at each of its sizes; its
# last growth in time, before and after, and the frames that are finished
LIGHT_CARRY_NUMBERS = 84
LIGHT_DECODE_NUMBERS = 320


def matrices_of(model: ModelSize) -> int:
    """Numbers in the matrices of its blocks, which FP8 is for."""
    return model.layers * (8 * model.dim**2 + 2 * model.dim * model.ffn_dim)


def fp8_bytes_of(model: ModelSize) -> int:
    """Bytes of its weights as `quantised` makes them: all that is no such matrix in the model's own precision."""
    matrices, scales = matrices_of(model), 10 * 4 * model.layers
    return matrices + scales + (weights_of(model) - matrices) * model.dtype_bytes


def weights_of(model: ModelSize) -> int:
    """Numbers in the weights of a Wan 2.1 text-to-video model."""
    dim, ffn, freq, patch = model.dim, model.ffn_dim, 256, 4 * model.channels
    attention = 4 * (dim * dim + dim) + 2 * dim
    block = 2 * attention + 2 * dim + (2 * dim * ffn + ffn + dim) + 6 * dim
    embeddings = (patch + 1) * dim + (model.text_dim + 1 + dim + 1) * dim + (freq + 1 + dim + 1 + 6 * (dim + 1)) * dim
    return model.layers * block + embeddings + (dim + 1) * patch + 2 * dim


@dataclass(frozen=True)
class Decode:
    """A decode to pictures, chunk by chunk, while the model stays where it is. Bytes.

    weights  of the VAE.
    work     peak of one chunk's decode.
    carry    what stays from chunk to chunk, on the device and, in the end, in RAM as part of the state.
    light    whether a light decoder stands in the VAE's place.
    beside   whether it goes on while the next chunk is sampled.
    """

    weights: int
    work: int
    carry: int
    light: bool = False
    beside: bool = False

    @staticmethod
    def of(shape: LatentShape, weights: int, number_bytes: int, light: bool = False, beside: bool = False) -> Decode:
        size = shape.batch * shape.rows * shape.columns * SIDE**2 * number_bytes
        work, carry = (LIGHT_DECODE_NUMBERS, LIGHT_CARRY_NUMBERS) if light else (DECODE_NUMBERS, CARRY_NUMBERS)
        return Decode(weights, work * size, carry * size, light, beside)


@dataclass(frozen=True)
class Footprint:
    """A run and all that it needs room for.

    weights   bytes of the model's weights.
    decode    None where the run ends in a latent.
    model     what the numbers are for, in words; None where it is the very model.
    before    passes that read pictures or a compact state before the first chunk.
    open_end  whether the estimate is of so much of the story that its memory has filled: nobody knows its length.
    """

    estimate: Estimate
    shape: LatentShape
    weights: int
    decode: Decode | None
    model: Said | None = None
    before: int = 0
    open_end: bool = False

    @property
    def passes(self) -> int:
        return self.estimate.forwards + self.before

    @property
    def device_bytes(self) -> int:
        """Peak on the device. A decode and a pass through the model run at once only where the one goes on beside the
        other."""
        told = self.estimate
        if self.decode is None:
            return self.weights + told.device_bytes
        kept = told.device_bytes - told.activation_bytes + self.decode.weights + self.decode.carry
        together = sum if self.decode.beside else max
        return self.weights + kept + together((told.activation_bytes, self.decode.work))

    def within(self, room: int | None) -> Footprint:
        """The same with its decode beside the sampling only if so many bytes are room enough; None: they are."""
        if room is None or self.decode is None or not self.decode.beside or self.device_bytes <= room:
            return self
        return replace(self, decode=replace(self.decode, beside=False))

    @property
    def fixed_bytes(self) -> int:
        """Of the peak on the device, what cannot be kept elsewhere until it is needed: all but weights."""
        return self.device_bytes - self.weights - (0 if self.decode is None else self.decode.weights)

    @property
    def picture_bytes(self) -> int:
        """Of the decoded pictures that are in RAM at once: those of a chunk and of two that are being written, or, of a
        latent, all of them."""
        pixels = self.shape.batch * self.shape.rows * self.shape.columns * SIDE**2
        frames = self.estimate.video_frames
        if self.decode is None:
            return frames * pixels * PIXEL_BYTES
        return -(-frames // self.estimate.chunks) * pixels * (PIXEL_BYTES + WAITING_BYTES)

    @property
    def ram_bytes(self) -> int:
        """Peak in RAM beside the models' own files: the state, named pins that wait there, and pictures."""
        carry = 0 if self.decode is None else self.decode.carry
        return self.estimate.state_bytes + self.estimate.pin_bytes + self.picture_bytes + carry

    def summary(self) -> Said:
        """In one short line."""
        told, vram = self.estimate, in_gb(self.device_bytes)
        if self.open_end:
            return say("open end, about {0} of VRAM", vram)
        return say("{0} s, {1}, about {2} of VRAM", f"{told.seconds:.2f}", _passes(self.passes), vram)

    def lines(self) -> list[Said]:
        """For people; a GB is 2^30 bytes."""
        light = [say("Shown by a light decoder (lighttaew2_1): softer pictures.")] if self._light else []
        return [self._length(), self._changes(), self._vram(), self._ram(), *light]

    def told(self) -> dict:
        """Summary and lines for a page, in English and as what is said in any language; fit for JSON."""
        summary, lines = self.summary(), self.lines()
        said = [sentence.to_list() for sentence in (summary, *lines)]
        return {"summary": str(summary), "lines": [str(line) for line in lines], "said": said}

    def to_dict(self) -> dict:
        """For programs, fit for JSON."""
        return self.estimate.to_dict() | {
            "passes": self.passes,
            "open_end": self.open_end,
            "model": str(self.model or ""),
            "weights_bytes": self.weights,
            "decode_bytes": 0 if self.decode is None else self.decode.work,
            "vae_bytes": 0 if self.decode is None else self.decode.weights + self.decode.carry,
            "peak_vram_bytes": self.device_bytes,
            "peak_ram_bytes": self.ram_bytes,
            "picture_bytes": self.picture_bytes,
        }

    @property
    def _light(self) -> bool:
        return self.decode is not None and self.decode.light

    def _length(self) -> Said:
        told = self.estimate
        if self.open_end:
            return say("Goes on until you press Finish now.")
        return say(
            "{0} s: {1} video frames in {2}, {3} through the model.",
            *(f"{told.seconds:.2f}", told.video_frames, _chunks(told.chunks), _passes(self.passes)),
        )

    def _changes(self) -> Said:
        switches = self.estimate.switches
        if not switches:
            return say("One prompt all the way.")
        told = ", ".join(f"{switch.start_s:.2f} s ({switch.kind})" for switch in switches[:MOST_SWITCHES])
        if (more := len(switches) - MOST_SWITCHES) > 0:
            return say("Prompts change at {0}; {1} more after that.", told, more)
        return say("Prompts change at {0}.", told)

    def _vram(self) -> Said:
        memory = self.estimate.cache_bytes + self.estimate.candidate_bytes
        vae = 0 if self.decode is None else self.decode.weights + self.decode.carry
        work = in_gb(self.device_bytes - self.weights - vae - memory)
        kept = say("{0} in FP8", in_gb(memory)) if self.estimate.cache == "fp8" else in_gb(memory)
        values = in_gb(self.device_bytes), self.model or say("the model"), in_gb(self.weights), kept, work
        if self.decode is None:
            return say("VRAM at the peak: about {0} ({1} {2}, memory {3}, work {4}).", *values)
        return say("VRAM at the peak: about {0} ({1} {2}, the VAE {5}, memory {3}, work {4}).", *values, in_gb(vae))

    def _ram(self) -> Said:
        pins, pictures = self.estimate.pin_bytes, in_gb(self.picture_bytes)
        state = in_gb(self.ram_bytes - self.picture_bytes - pins)
        shown = say("all pictures {0}", pictures) if self.decode is None else say("pictures {0}", pictures)
        values = in_gb(self.ram_bytes), state, shown
        if not pins:
            return say("RAM beside the models' files: about {0} (the state {1}, {2}).", *values)
        return say(
            "RAM beside the models' files: about {0} (the state {1}, named pins {3}, {2}).", *values, in_gb(pins)
        )


def _chunks(number: int) -> Said:
    return say("1 chunk") if number == 1 else say("{0} chunks", number)


def _passes(number: int) -> Said:
    return say("1 pass") if number == 1 else say("{0} passes", number)


def in_gb(size: int) -> str:
    """For people; a GB is 2^30 bytes."""
    return f"{size / 2**20:.0f} MB" if size < GB / 10 else f"{size / GB:.1f} GB"
