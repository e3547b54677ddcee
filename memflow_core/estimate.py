"""Count passes through the model and bytes, on the device and in RAM, before a run starts.

Everything follows from sizes and from a placed plan; nothing is played. Passes are exact for a run of that plan, and so
are the bytes of its cache and its state. Bytes of candidates are an upper bound, see `memory.forecast`. Work space is
what these formulas say.

Peak activations of one pass over n = batch x latent frames x tokens of a picture, with activations of `s` bytes,
model width d and feed-forward width f, are the largest of

    s n (4 d + 2 f)            feed-forward: three residuals, its input, its wide layer before and after the gelu
    s n 7 d + 8 n d            RoPE: residual, input, q, k, v, q rotated, k rotated, and in float32 k and its product
    s (n 6 d + m d) + 8 m d    the same over the m keys that are read, with relative positions
    s n 7 d + s c d + 8 h t c  with retrieval `attention`: c keys of sink, bank and candidate, and what h heads of t
                               queries at a time make of them in float32, before and after the softmax

and with `top_k`, beside any of them, s g d for the g keys and values that are copied side by side, in buffers that are
kept. m, g and c count batch x latent frames x tokens too. A cache in fp8 is read into buffers of the activations' kind:
s 2 m d more where keys and values are read, s c d where attention is measured. The attention kernel is taken to need no
score matrix, as fused kernels do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from .config import LatentShape, MemoryConfig, SamplingConfig
from .memory import MASS_TILE, SlotLayout, memory_forecast
from .model import ModelSize
from .schedule import Plan

GB = 2**30
FLOAT32 = 4
INT64 = 8
FP8 = 1
ROPE_BYTES = 8  # of one number: its float32 copy and what becomes of it
SCORE_BYTES = 8
SIDE = 8  # pixels of a latent's side
PIXEL_BYTES = 3 * 4  # of a decoded picture in RAM: three colours in float32
WAITING_BYTES = 2 * 3  # of two pictures on their way to the encoder: three colours in 8 bits

# of the Wan 2.1 VAE: numbers for each pixel of the picture, counted in a decode of 3 latent frames at a time
CARRY_NUMBERS = 2365  # the last two inputs of every temporal convolution
DECODE_NUMBERS = 1150  # what a decode needs beside them
# of a light decoder, one latent frame at a time, from its layers: three blocks that look back at each of its sizes; its
# last growth in time, before and after, and the frames that are finished
LIGHT_CARRY_NUMBERS = 84
LIGHT_DECODE_NUMBERS = 320


# -- passes and bytes of a stream --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Switch:
    """A change of prompt, at the chunk boundary where it takes effect."""

    start_s: float
    start_frame: int
    kind: str
    prompt: str


@dataclass(frozen=True)
class Estimate:
    """What a run makes and takes.

    chunks, video_frames, seconds   of video made in this run.
    denoise, context, recache       passes through the model.
    moments                         passes over a single frame that enters the bank read alone: exact without pins and
                                    archive, else at most.
    sink_bytes, bank_bytes, window_bytes   the KV cache, with the mean keys and tables of each part.
    candidate_bytes                 frames on their way to the bank, at most.
    pin_bytes                       named pins, on whichever device they are kept.
    prompt_bytes                    cross-attention keys and values, of the old prompt and the new, and of the one that
                                    a frame is read alone under.
    activation_bytes                peak of one pass, see the module.
    state_bytes                     an exact state after the last chunk, in RAM or in a file. Left out are its trace,
                                    and prompts and latents behind the frames it holds, but for the archive's: about a
                                    hundredth. Where the end is open, at most.
    archived, archive_bytes         frames in the archive at the end, and their bytes in RAM.
    cache                           precision of the KV cache, as in `MemoryConfig`.
    """

    chunks: int
    video_frames: int
    seconds: float
    fps: float
    switches: tuple[Switch, ...]
    denoise: int
    context: int
    recache: int
    sink_bytes: int
    bank_bytes: int
    window_bytes: int
    candidate_bytes: int
    pin_bytes: int
    prompt_bytes: int
    activation_bytes: int
    state_bytes: int
    cache: str = "model"
    moments: int = 0
    archived: int = 0
    archive_bytes: int = 0

    @property
    def forwards(self) -> int:
        return self.denoise + self.context + self.recache + self.moments

    @property
    def cache_bytes(self) -> int:
        return self.sink_bytes + self.bank_bytes + self.window_bytes

    @property
    def device_bytes(self) -> int:
        """Peak on the device beside the model's weights, named pins left out."""
        return self.cache_bytes + self.candidate_bytes + self.prompt_bytes + self.activation_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers for programs, fit for JSON."""
        sums = {"forwards": self.forwards, "cache_bytes": self.cache_bytes, "device_bytes": self.device_bytes}
        return asdict(self) | sums | {"switches": [asdict(switch) for switch in self.switches]}


def estimate(
    model: ModelSize,
    shape: LatentShape,
    *,
    memory: MemoryConfig,
    plan: Plan,
    sampling: SamplingConfig,
    done: int = 0,
    open_end: bool = False,
) -> Estimate:
    """Count what it takes to play a plan.

    done      chunks that are made already. Passes are those of the rest; bytes are those of the whole plan.
    open_end  whether the plan is as long as the story can be at most. Passes are those of all of it. The state can be
              taken after any chunk, so it is the largest.
    """
    counts = _counts(plan, memory, done, open_end)
    chunks = plan.chunks - done
    frame = _frame_bytes(model, shape, memory)
    tables = 2 * INT64 * model.layers * shape.batch * memory.bank_slots
    video_frames = plan.grid.px_frames(plan.chunks) - plan.grid.px_frames(done)
    archive = counts.archived * _archived_bytes(model, shape, memory)
    texts = 3 if memory.bank_keys == "alone" else 2
    return Estimate(
        chunks=chunks,
        video_frames=video_frames,
        seconds=video_frames / plan.grid.fps,
        fps=plan.grid.fps,
        switches=_switches(plan, done),
        denoise=chunks * len(sampling.steps),
        context=chunks,
        recache=counts.recaches,
        sink_bytes=memory.sink_frames * frame,
        bank_bytes=memory.bank_slots * frame + tables,
        window_bytes=memory.window_frames * frame,
        candidate_bytes=counts.candidates * frame,
        pin_bytes=counts.named * frame,
        prompt_bytes=2 * texts * model.layers * shape.batch * model.text_length * model.dim * model.dtype_bytes,
        activation_bytes=_activation_bytes(model, shape, memory, plan, counts.span),
        state_bytes=_state_bytes(model, shape, memory, plan, counts) + archive,
        cache=memory.cache,
        moments=counts.moments,
        archived=counts.archived,
        archive_bytes=archive,
    )


@dataclass(frozen=True)
class _Counts:
    """Passes of a plan, and the latent frames that its memory holds.

    recaches    recaches that have frames to read again.
    span        most latent frames in one pass.
    layout      of the cache at the end, with the frames that the bank holds.
    named       named pins.
    candidates  most frames that have buffers of their own on the way to the bank: an upper bound.
    waiting     such frames at the end; where that is open, after any chunk at most.
    moments     passes over a single frame, as in `Estimate`.
    archived    frames in the archive at the end.
    """

    recaches: int
    span: int
    layout: SlotLayout
    named: int
    candidates: int
    waiting: int
    moments: int
    archived: int


def _counts(plan: Plan, memory: MemoryConfig, done: int, open_end: bool) -> _Counts:
    pinned = {*memory.pins, *(pin.frame for pin in plan.pins if pin.name is None)}
    named = {pin.name: pin.frame for pin in plan.pins if pin.name is not None}
    forecast = memory_forecast(memory, plan.grid.latent_frames, pinned=pinned, named=set(named.values()))
    recaches, read = [0], 0
    for segment in plan.segments:
        forecast.on_prompt_change({named[name] for name in segment.recall})
        if segment.switch == "cut":
            forecast.on_cut()
        if segment.switch == "recache" and segment.start_chunk >= done:
            recaches.append(forecast.recache_frames())
        if segment.start_chunk < done <= segment.end_chunk:
            forecast.advance(done)
            read = forecast.moments
        forecast.advance(segment.end_chunk)
    return _Counts(
        recaches=sum(frames > 0 for frames in recaches),
        span=max(plan.grid.latent_frames, *recaches),
        layout=replace(forecast.layout, bank=forecast.banked),
        named=len(named),
        candidates=forecast.most_buffers,
        waiting=forecast.most_waiting if open_end else forecast.waiting,
        moments=forecast.moments - read,
        archived=forecast.archived,
    )


def _switches(plan: Plan, done: int) -> tuple[Switch, ...]:
    grid = plan.grid
    changes = [segment for segment in plan.segments if segment.start_chunk >= max(done, 1)]
    return tuple(
        Switch(grid.start_s(segment.start_chunk), grid.start_px(segment.start_chunk), segment.switch, segment.prompt)
        for segment in changes
    )


def _frame_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig) -> int:
    """Count the bytes of keys, values, their scales if there are any, and mean keys of a latent frame in all layers."""
    in_fp8 = memory.cache == "fp8"
    numbers = 2 * model.dim * shape.tokens
    scales = 2 * model.heads if in_fp8 else 0
    number_bytes = FP8 if in_fp8 else model.dtype_bytes
    return model.layers * shape.batch * (numbers * number_bytes + (scales + model.dim) * FLOAT32)


def _archived_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig) -> int:
    """Count the bytes of an archived frame in RAM: its latents, and its mean keys where it is chosen by them."""
    keys = model.layers * model.dim if memory.archive_rule == "keys" else 0
    return FLOAT32 * shape.batch * (model.channels * shape.rows * shape.columns + keys)


def _activation_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig, plan: Plan, span: int) -> int:
    """Evaluate the formulas of the module for a pass over `span` latent frames."""
    size, dim = model.dtype_bytes, model.dim
    frame = shape.batch * shape.tokens
    made = span * frame
    bank_and_sink = memory.sink_frames + memory.bank_slots
    read = (bank_and_sink + memory.window_frames) * frame
    in_fp8 = memory.cache == "fp8"
    stages = [size * made * (4 * dim + 2 * model.ffn_dim), made * dim * (7 * size + ROPE_BYTES)]
    if in_fp8:
        stages.append(size * dim * (7 * made + 2 * read))
    if memory.resolve_positions(plan.chunks * plan.grid.latent_frames) == "relative":
        stages.append(dim * (6 * size * made + (size + ROPE_BYTES + in_fp8 * size) * read))
    if memory.retrieval == "attention":
        met = (bank_and_sink + 1) * frame
        queries = min(MASS_TILE, span * shape.tokens)
        decoded = in_fp8 * met
        stages.append(size * dim * (7 * made + met + decoded) + SCORE_BYTES * model.heads * queries * met)
    gathered = 0 if memory.top_k is None else 2 * (memory.top_k + memory.window_frames) * frame
    return max(stages) + size * dim * gathered


def _state_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig, plan: Plan, counts: _Counts) -> int:
    layout = counts.layout
    frames = layout.in_use.stop - layout.in_use.start + counts.waiting + counts.named
    tables = 3 * INT64 * model.layers * shape.batch * layout.bank_slots
    # latents are kept for a recache, in whole chunks
    chunk = plan.grid.latent_frames
    recent = min(layout.end, -(-(layout.sink_slots + layout.window_slots) // chunk) * chunk)
    latents = FLOAT32 * shape.batch * model.channels * recent * shape.rows * shape.columns
    # the mean embedding of every prompt
    prompts = 0 if memory.retrieval == "reference" else len(plan.segments)
    pooled = FLOAT32 * prompts * shape.batch * model.text_dim
    return frames * _frame_bytes(model, shape, memory) + tables + latents + pooled


# -- a run's peak on the device and in RAM ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Decode:
    """Bytes of a decode to pictures, chunk by chunk, while the model stays where it is.

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
        return Decode(weights, work=work * size, carry=carry * size, light=light, beside=beside)


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
        """Peak on the device. A decode and a pass through the model run at once only where the decode goes on beside
        the sampling."""
        estimate = self.estimate
        if self.decode is None:
            return self.weights + estimate.device_bytes
        kept = estimate.device_bytes - estimate.activation_bytes + self.decode.weights + self.decode.carry
        together = sum if self.decode.beside else max
        return self.weights + kept + together((estimate.activation_bytes, self.decode.work))

    def within(self, room: int | None) -> Footprint:
        """Return the same with its decode beside the sampling only if that fits into so many bytes; None: it does."""
        if room is None or self.decode is None or not self.decode.beside or self.device_bytes <= room:
            return self
        return replace(self, decode=replace(self.decode, beside=False))

    @property
    def fixed_bytes(self) -> int:
        """Part of the peak on the device that cannot be kept elsewhere until it is needed: all but weights."""
        return self.device_bytes - self.weights - (0 if self.decode is None else self.decode.weights)

    @property
    def picture_bytes(self) -> int:
        """Decoded pictures that are in RAM at once: those of a chunk and of two that are being written, or, of a
        latent, all of them."""
        pixels = self.shape.batch * self.shape.rows * self.shape.columns * SIDE**2
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
