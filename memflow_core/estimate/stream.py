"""Count passes of a stream through the model, and its bytes on the device and in RAM, before it starts.

Everything follows from sizes and from a placed plan; nothing is played. Passes are exact for a run of that plan, and so
are the bytes of its cache and its state. Bytes of candidates are an upper bound, see `memory.forecast`. Work space is
what these formulas say.

Peak activations of one pass over n = batch x latent frames x tokens of a picture, with activations of `s` bytes,
model width d and feed-forward width f, are the largest of

    s n (4 d + 2 f)            feed-forward: three residuals, its input, its wide layer before and after the gelu
    s n 7 d + 4 n d            RoPE: residual, input, q, k, v, q rotated, k rotated, and k in float32, turned in place
    s (n 6 d + m d) + 4 m d    the same over the m keys that are read, with relative positions, and 8 m d / h for h
                               heads: what turns them, of the places that are read and of all
    s n 7 d + s c d + 8 h t c  with retrieval `attention`: c keys of sink, bank and candidate, and what h heads of t
                               queries at a time make of them in float32, before and after the softmax

and with `top_k`, beside any of them, s g d for the g keys and values that are copied side by side, in buffers that are
kept. m, g and c count batch x latent frames x tokens too. A cache in fp8 is read into buffers of the activations' kind:
s 2 m d more where keys and values are read, s c d where attention is measured. The attention kernel is taken to need no
score matrix, as fused kernels do.

Where several processes share the stream, the keys and values and the work of a pass in each are those of its heads,
and q, k and v go over in buffers: s n 6 d times its share of the heads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import inf
from typing import Any

from ..config import RULES_BY_KEYS, LatentShape, MemoryConfig, SamplingConfig, stream_positions
from ..memory import MASS_QUERIES, SlotLayout, memory_forecast
from ..model import ModelSize
from ..schedule import Plan
from .control import ControlWork

GB = 2**30
FLOAT32 = 4
INT64 = 8
FP8 = 1
ROPE_BYTES = 4  # of one number: its float32 copy, which is turned in place
SCORE_BYTES = 8


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
    denoise, context, recache, refresh   passes through the model.
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
    steered                         passes of `denoise` that a control steers.
    steered_seconds                 of video with a control on them, at most.
    remade_seconds                  of video in chunks that are made from pictures, at most.
    left_out                        passes that these chunks do without; `denoise` does not count them.
    control_blocks                  blocks that a steered pass goes through beside the model's.
    control_bytes                   what control takes on the device: see `estimate.control`.
    control_weight_bytes            of them, weights: those of the branch, and of a VAE that is there for control alone.
    control_state_bytes             of a control in the state, at most.
    archived, archived_keys         frames in the archive at the end, and how many of them keep their keys and values.
    archive_bytes                   of the archive in RAM, at most: a fresh prompt empties it.
    questions                       passes like a chunk's first that are made to choose from the archive by: exact
                                    without pins, else at most.
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
    refresh: int = 0
    moments: int = 0
    archived: int = 0
    archive_bytes: int = 0
    steered: int = 0
    steered_seconds: float = 0.0
    remade_seconds: float = 0.0
    left_out: int = 0
    control_blocks: int = 0
    control_bytes: int = 0
    control_weight_bytes: int = 0
    control_state_bytes: int = 0
    archived_keys: int = 0
    questions: int = 0

    @property
    def forwards(self) -> int:
        return self.denoise + self.context + self.recache + self.refresh + self.moments + self.questions

    @property
    def cache_bytes(self) -> int:
        return self.sink_bytes + self.bank_bytes + self.window_bytes

    @property
    def device_bytes(self) -> int:
        """Peak on the device beside the model's weights, named pins left out."""
        return self.cache_bytes + self.candidate_bytes + self.prompt_bytes + self.activation_bytes + self.control_bytes

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
    processes: int = 1,
    control: ControlWork | None = None,
) -> Estimate:
    """Count what it takes to play a plan.

    done       chunks that are made already. Passes are those of the rest; bytes are those of the whole plan.
    open_end   whether the plan is as long as the story can be at most. Passes are those of all of it. The state can
               be taken after any chunk, so it is the largest.
    control    what steers it; None: nothing does.
    processes  that share the stream by heads. Bytes on the device are those of the one with the most heads.
    """
    counts = _counts(plan, memory, done, open_end)
    chunks = plan.chunks - done
    begun = sum(start >= done for start in plan.story_starts)
    first = begun * (len(sampling.steps_of(0)) - len(sampling.steps))
    own_heads = -(-model.heads // processes)
    frame = _frame_bytes(model, shape, memory) * own_heads // model.heads
    span = max(counts.span, _refreshed_frames(plan, memory) if sampling.refresh else 0)
    activations = _activation_bytes(model, shape, memory, plan, sampling, span, counts.most_archived)
    if processes > 1:
        exchanged = 6 * model.dtype_bytes * model.dim * span * shape.batch * shape.tokens
        activations = (activations + exchanged) * own_heads // model.heads
    tables = 2 * INT64 * model.layers * shape.batch * memory.bank_slots
    video_frames = plan.grid.px_frames(plan.chunks) - plan.grid.px_frames(done)
    whole = _frame_bytes(model, shape, memory)
    made, most_made = (_most_made(count, whole, memory) for count in (counts.archived, counts.most_archived))
    archive, most = (
        count * _archived_bytes(model, shape, memory) + keys * whole
        for count, keys in ((counts.archived, made), (counts.most_archived, most_made))
    )
    fit = most_made == counts.most_archived
    if memory.archive == "keys" and fit and not done:
        # a state that a run goes on from may be a compact one, which has no keys
        counts = replace(counts, moments=0)
    counted = {} if control is None else control.counts(model, shape, plan, done, sampling)
    texts = 3 if memory.bank_keys == "alone" or counts.moments else 2
    return Estimate(
        chunks=chunks,
        video_frames=video_frames,
        seconds=video_frames / plan.grid.fps,
        fps=plan.grid.fps,
        switches=_switches(plan, done),
        denoise=chunks * len(sampling.steps) + first - counted.get("left_out", 0),
        context=chunks,
        recache=0 if sampling.refresh else counts.recaches,
        sink_bytes=memory.sink_frames * frame,
        bank_bytes=memory.bank_slots * frame + tables,
        window_bytes=memory.window_frames * frame,
        candidate_bytes=counts.candidates * frame,
        pin_bytes=counts.named * frame,
        prompt_bytes=2 * texts * model.layers * shape.batch * model.text_length * model.dim * model.dtype_bytes,
        activation_bytes=activations,
        state_bytes=_state_bytes(model, shape, memory, plan, counts)
        + (most if open_end else archive)
        + counted.get("control_state_bytes", 0),
        cache=memory.cache,
        refresh=_refreshes(plan, done, memory) if sampling.refresh else 0,
        moments=counts.moments,
        archived=counts.archived,
        archive_bytes=most,
        archived_keys=made,
        questions=counts.questions,
        **counted,
    )


def _refreshed_frames(plan: Plan, memory: MemoryConfig) -> int:
    """Count the latent frames that a chunk sees beside itself and the bank, which a refresh reads."""
    return memory.sink_frames + memory.window_frames - plan.grid.latent_frames


def _refreshes(plan: Plan, done: int, memory: MemoryConfig) -> int:
    """Count the chunks that see others: all but the first of the story and those behind a cut."""
    if not _refreshed_frames(plan, memory):
        return 0
    starts = {0, *(segment.start_chunk for segment in plan.segments if segment.switch in ("cut", "fresh"))}
    return plan.chunks - done - sum(start >= done for start in starts)


@dataclass(frozen=True)
class _Counts:
    """Passes of a plan, and the latent frames that its memory holds.

    recaches    recaches that have frames to read again.
    span        most latent frames in one pass.
    layout      of the cache at the end, with the frames that the bank holds; where that is open, the fullest one.
    named       named pins at once, at most.
    kept        named pins at the end; where that is open, at most.
    candidates  most frames that have buffers of their own on the way to the bank: an upper bound.
    waiting     such frames at the end; where that is open, after any chunk at most.
    moments     passes over a single frame, as in `Estimate`.
    archived    frames in the archive at the end.
    most_archived  most frames in the archive: a fresh prompt empties it.
    questions   passes that are made to choose by, as in `Estimate`.
    """

    recaches: int
    span: int
    layout: SlotLayout
    named: int
    kept: int
    candidates: int
    waiting: int
    moments: int
    archived: int
    most_archived: int
    questions: int


def _counts(plan: Plan, memory: MemoryConfig, done: int, open_end: bool) -> _Counts:
    pinned = {*memory.pins, *(pin.frame for pin in plan.pins if pin.name is None)}
    named = {pin.name: pin.frame for pin in plan.pins if pin.name is not None}
    forecast = memory_forecast(memory, plan.grid.latent_frames, pinned=pinned, named=set(named.values()))
    recaches, read, asked, archived = [0], 0, 0, [0]
    layouts: list[SlotLayout] = []
    for segment in plan.segments:
        forecast.on_prompt_change({named[name] for name in segment.recall})
        if segment.switch == "cut":
            forecast.on_cut()
        if segment.start_chunk in plan.story_starts[1:]:
            archived.append(forecast.archived)
            layouts.append(replace(forecast.layout, bank=forecast.banked))
            forecast.on_fresh()
        if segment.switch == "recache" and segment.start_chunk >= done:
            recaches.append(forecast.recache_frames())
        if segment.start_chunk < done <= segment.end_chunk:
            forecast.advance(done)
            read, asked = forecast.moments, forecast.questions
        forecast.advance(segment.end_chunk)
    layouts.append(replace(forecast.layout, bank=forecast.banked))
    # a fresh prompt forgets the pins before it
    bounds = [*(chunk * plan.grid.latent_frames for chunk in plan.story_starts), inf]
    of_stories = [sum(first <= frame < end for frame in named.values()) for first, end in pairwise(bounds)]
    return _Counts(
        recaches=sum(frames > 0 for frames in recaches),
        span=max(plan.grid.latent_frames, *recaches),
        layout=max(layouts, key=lambda one: one.in_use.stop - one.in_use.start) if open_end else layouts[-1],
        named=max(of_stories),
        kept=max(of_stories) if open_end else of_stories[-1],
        candidates=forecast.most_buffers,
        waiting=forecast.most_waiting if open_end else forecast.waiting,
        moments=forecast.moments - read,
        archived=forecast.archived,
        most_archived=max(*archived, forecast.archived),
        questions=forecast.questions - asked,
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
    keys = model.layers * model.dim if memory.archive_rule in RULES_BY_KEYS else 0
    return FLOAT32 * shape.batch * (model.channels * shape.rows * shape.columns + keys)


def _most_made(archived: int, frame: int, memory: MemoryConfig) -> int:
    """Count the archived frames whose keys and values are kept as they were made. frame: bytes of those of one."""
    return min(archived, int(memory.archive_gb * GB) // frame) if memory.archive == "keys" else 0


def _activation_bytes(
    model: ModelSize,
    shape: LatentShape,
    memory: MemoryConfig,
    plan: Plan,
    sampling: SamplingConfig,
    span: int,
    archived: int,
) -> int:
    """Evaluate the formulas of the module for a pass over `span` latent frames. archived: frames, at most."""
    size, dim = model.dtype_bytes, model.dim
    # a refresh has a small cache of its own
    seen = _refreshed_frames(plan, memory) if sampling.refresh else 0
    frame = shape.batch * shape.tokens
    made = span * frame
    bank_and_sink = memory.sink_frames + memory.bank_slots
    read = (bank_and_sink + memory.window_frames) * frame
    in_fp8 = memory.cache == "fp8"
    stages = [size * made * (4 * dim + 2 * model.ffn_dim), made * dim * (7 * size + ROPE_BYTES)]
    if in_fp8:
        stages.append(size * dim * (7 * made + 2 * read))
    reach = plan.reach(memory.shot_offset)
    if memory.positions != "absolute" and stream_positions(memory, sampling, reach) == "relative":
        turns = 2 * FLOAT32 * (dim // model.heads) * read
        stages.append(dim * (6 * size * made + (size + ROPE_BYTES + in_fp8 * size) * read) + turns)
    if memory.retrieval == "attention":
        met = (bank_and_sink + 1) * frame
        queries = min(MASS_QUERIES, span * shape.tokens)
        decoded = in_fp8 * met
        stages.append(size * dim * (7 * made + met + decoded) + SCORE_BYTES * model.heads * queries * met)
    if memory.archive_rule == "attention":
        queries = min(MASS_QUERIES, plan.grid.latent_frames * shape.tokens)
        met = FLOAT32 * shape.batch * archived * (dim + 3 * model.heads * queries)
        stages.append(size * dim * 7 * made + met)
    gathered = 0 if memory.top_k is None else 2 * (memory.top_k + memory.window_frames) * frame
    return max(stages) + size * dim * gathered + seen * _frame_bytes(model, shape, memory)


def _state_bytes(model: ModelSize, shape: LatentShape, memory: MemoryConfig, plan: Plan, counts: _Counts) -> int:
    layout = counts.layout
    frames = layout.in_use.stop - layout.in_use.start + counts.waiting + counts.kept
    tables = 3 * INT64 * model.layers * shape.batch * layout.bank_slots
    # latents are kept for a recache, in whole chunks
    chunk = plan.grid.latent_frames
    recent = min(plan.chunks * chunk, -(-(layout.sink_slots + layout.window_slots) // chunk) * chunk)
    latents = FLOAT32 * shape.batch * model.channels * recent * shape.rows * shape.columns
    # the mean embedding of every prompt
    prompts = 0 if memory.retrieval == "reference" else len(plan.segments)
    pooled = FLOAT32 * prompts * shape.batch * model.text_dim
    return frames * _frame_bytes(model, shape, memory) + tables + latents + pooled
