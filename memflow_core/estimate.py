"""What a story will take, from sizes alone: passes through the model, and bytes.

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
score matrix, as fused kernels do. Weights, VAE and text encoder are left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from .memory import MASS_TILE
from .rehearsal import Rehearsal, rehearse
from .schedule import Plan

GB = 2**30
FLOAT32 = 4
INT64 = 8
FP8 = 1
ROPE_BYTES = 8  # of one number: its float32 copy and what becomes of it
SCORE_BYTES = 8


@dataclass(frozen=True)
class ModelSize:
    """What counts of a model. Bytes are those of one activation."""

    layers: int
    dim: int
    heads: int
    ffn_dim: int
    text_dim: int = 4096
    text_length: int = 512
    channels: int = 16
    dtype_bytes: int = 2

    @staticmethod
    def of(config: ModelConfig, dtype_bytes: int = 2, text_length: int = 512) -> ModelSize:
        return ModelSize(
            config.num_layers,
            config.dim,
            config.num_heads,
            config.ffn_dim,
            config.text_dim,
            text_length,
            config.in_channels,
            dtype_bytes,
        )


@dataclass(frozen=True)
class Switch:
    """A change of prompt, as it really falls."""

    start_s: float
    start_frame: int
    kind: str
    prompt: str


@dataclass(frozen=True)
class Estimate:
    """What a run will make and take.

    chunks, video_frames, seconds   of video made in this run.
    denoise, context, recache       passes through the model.
    sink_bytes, bank_bytes, window_bytes   the KV cache, with the mean keys and tables of each part.
    candidate_bytes                 frames on their way to the bank, at most.
    pin_bytes                       named pins, wherever they wait.
    prompt_bytes                    cross-attention keys and values, of the old prompt and the new.
    activation_bytes                peak of one pass, see the module.
    state_bytes                     an exact state after the last chunk, in RAM or in a file. Left out are its trace,
                                    and prompts and latents behind the frames it holds: about a hundredth.
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

    @property
    def forwards(self) -> int:
        return self.denoise + self.context + self.recache

    @property
    def cache_bytes(self) -> int:
        return self.sink_bytes + self.bank_bytes + self.window_bytes

    @property
    def device_bytes(self) -> int:
        """Peak on the device beside the model's weights, named pins left out."""
        return self.cache_bytes + self.candidate_bytes + self.prompt_bytes + self.activation_bytes

    def to_dict(self) -> dict:
        """The same for programs, fit for JSON."""
        sums = {"forwards": self.forwards, "cache_bytes": self.cache_bytes, "device_bytes": self.device_bytes}
        return asdict(self) | sums | {"switches": [asdict(switch) for switch in self.switches]}


def estimate(
    model: ModelSize, shape: LatentShape, memory: MemoryConfig, plan: Plan, sampling: SamplingConfig, done: int = 0
) -> Estimate:
    """What it takes to play a plan of which `done` chunks are made already."""
    told, grid = rehearse(plan, memory, sampling, done), plan.grid
    frame = _frame_bytes(model, shape, memory)
    tables = 2 * INT64 * model.layers * shape.batch * memory.bank_slots
    video_frames = grid.px_frames(plan.chunks) - grid.px_frames(done)
    return Estimate(
        chunks=plan.chunks - done,
        video_frames=video_frames,
        seconds=video_frames / grid.fps,
        fps=grid.fps,
        switches=_switches(plan, done),
        denoise=told.forwards["denoise"],
        context=told.forwards["context"],
        recache=told.forwards["recache"],
        sink_bytes=memory.sink_frames * frame,
        bank_bytes=memory.bank_slots * frame + tables,
        window_bytes=memory.window_frames * frame,
        candidate_bytes=told.prototypes * frame,
        pin_bytes=told.named * frame,
        prompt_bytes=4 * model.layers * shape.batch * model.text_length * model.dim * model.dtype_bytes,
        activation_bytes=_activation_bytes(model, shape, memory, plan, told),
        state_bytes=_state_bytes(model, shape, memory, told),
        cache=memory.cache,
    )


def _switches(plan: Plan, done: int) -> tuple[Switch, ...]:
    grid, changes = plan.grid, [segment for segment in plan.segments if segment.start_chunk >= max(done, 1)]
    return tuple(
        Switch(grid.start_s(at.start_chunk), grid.start_px(at.start_chunk), at.switch, at.prompt) for at in changes
    )


def _frame_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig) -> int:
    """Keys, values, their scales if there are any, and mean keys of one latent frame in all layers."""
    in_fp8 = memory.cache == "fp8"
    numbers, scales = 2 * model.dim * shape.tokens, 2 * model.heads if in_fp8 else 0
    each = FP8 if in_fp8 else model.dtype_bytes
    return model.layers * shape.batch * (numbers * each + (scales + model.dim) * FLOAT32)


def _activation_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig, plan: Plan, told: Rehearsal) -> int:
    size, dim, frame = model.dtype_bytes, model.dim, shape.batch * shape.tokens
    made, bank_and_sink = told.span * frame, memory.sink_frames + memory.bank_slots
    stages = [size * made * (4 * dim + 2 * model.ffn_dim), made * dim * (7 * size + ROPE_BYTES)]
    read, in_fp8 = (bank_and_sink + memory.window_frames) * frame, memory.cache == "fp8"
    if in_fp8:
        stages.append(size * dim * (7 * made + 2 * read))
    if memory.resolve_positions(plan.chunks * plan.grid.latent_frames) == "relative":
        stages.append(dim * (6 * size * made + (size + ROPE_BYTES + in_fp8 * size) * read))
    gathered = 0 if memory.top_k is None else 2 * (memory.top_k + memory.window_frames) * frame
    if memory.retrieval == "attention":
        met, queries = (bank_and_sink + 1) * frame, min(MASS_TILE, told.span * shape.tokens)
        decoded = in_fp8 * met
        stages.append(size * dim * (7 * made + met + decoded) + SCORE_BYTES * model.heads * queries * met)
    return max(stages) + size * dim * gathered


def _state_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig, told: Rehearsal) -> int:
    at, batch = told.at, shape.batch
    # as `state.capture` does, the sink counts whole
    frames = at.bank + at.sink_slots + at.window + told.waiting + told.named
    tables = 3 * INT64 * model.layers * batch * at.bank_slots
    latents = FLOAT32 * batch * model.channels * told.recent * shape.rows * shape.columns
    pooled = FLOAT32 * told.pooled * batch * model.text_dim
    return frames * _frame_bytes(model, shape, memory) + tables + latents + pooled
