"""The inputs of a sampling node, checked and placed on chunks before the model is loaded."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from torch import Tensor

from ...memflow_core.config import MAX_ABSOLUTE_FRAMES, LatentShape, MemoryConfig, SamplingConfig, check_fit
from ...memflow_core.play import EncodedSchedule
from ...memflow_core.schedule import ChunkGrid, Plan, PromptSchedule, Time
from ...memflow_core.state import StreamState
from .. import host
from .start_state import StoryState, check_initial, pinned_frames
from .steps import parse_steps

MOST_FRAMES = 1_000_000  # video frames of one run: more than 17 hours
USUAL_SHIFT = SamplingConfig().shift


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts over time with their embeddings, the value that travels on MEMFLOW_SCHEDULE links.

    embeddings  one [1, length, text_dim] floating point for each segment, on the CPU.
    hooks       weights that the model has under each segment, None for its own; none at all where all are None.
    unused      what else came along with the prompts.
    """

    prompts: PromptSchedule
    embeddings: tuple[Tensor, ...]
    hooks: tuple[host.WeightHooks | None, ...] = ()
    unused: tuple[host.Finding, ...] = ()

    @classmethod
    def of(cls, prompts: PromptSchedule, spoken: tuple[host.Spoken, ...]) -> EncodedPrompts:
        """A schedule, with what each of its prompts brings."""
        return cls(PromptSchedule(()), ()).with_segments(prompts, spoken)

    def with_segments(self, prompts: PromptSchedule, spoken: tuple[host.Spoken, ...]) -> EncodedPrompts:
        """The same with more segments, whose schedule is `prompts`, at its end."""
        before = self.hooks or (None,) * len(self.embeddings)
        hooks = (*before, *(part.hooks for part in spoken))
        unused = host.one_a_node((*self.unused, *(finding for part in spoken for finding in part.unused)))
        return EncodedPrompts(prompts, (*self.embeddings, *(part.embedding for part in spoken)), hooks, unused)

    @property
    def hooks_by_name(self) -> dict[str, host.WeightHooks]:
        """All weights that some segment has."""
        return {hooked.name: hooked for hooked in self.hooks if hooked is not None}

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights of each segment, "" for the model's own."""
        hooks = self.hooks or (None,) * len(self.embeddings)
        return tuple("" if hooked is None else hooked.name for hooked in hooks)


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """The inputs of a sampling node that decide its plan.

    width, height  in pixels.
    length         video frames to make in this run. 0: as the schedule says, or else until a live request ends the run.
    steps          denoising steps as text, see `parse_steps`.
    memory         None: the state's settings, or the defaults.
    state          where the story stands; None for a new story.
    """

    prompts: PromptSchedule
    width: int
    height: int
    length: int
    fps: float
    steps: str
    shift: float = 5.0
    memory: MemoryConfig | None = None
    state: StoryState | None = None

    @property
    def shape(self) -> LatentShape:
        """Latent size. Raises ValueError for a picture off the grid of 16 pixels."""
        self.check_size()
        return LatentShape(self.height // 8, self.width // 8)

    @property
    def sampling(self) -> SamplingConfig:
        """Steps and shift. Raises ValueError for steps that are none."""
        return SamplingConfig(steps=parse_steps(self.steps), shift=self.shift)

    @property
    def settings(self) -> MemoryConfig:
        """Memory settings: the state's, the node's, or the defaults."""
        return (self.state and self.state.memory) or self.memory or MemoryConfig()

    @property
    def done(self) -> int:
        """Chunks that the state has made already."""
        return 0 if self.state is None else self.state.chunks(self.sampling.chunk_frames)

    @property
    def grid(self) -> ChunkGrid:
        """Where chunks fall in time."""
        return ChunkGrid(self.sampling.chunk_frames, self.fps)

    @property
    def open_end(self) -> bool:
        """Whether the story has no length yet."""
        return self.length == 0 and self.prompts.length is None

    @property
    def most_chunks(self) -> int | None:
        """Chunks, with those of the state, that the node asks for at most; None for a length of 0."""
        made = self.grid.px_frames(self.done) if self.done else 0
        return self.grid.chunks_for_px(made + self.length) if self.length else None

    def check_size(self) -> None:
        """Raise ValueError for a picture off the grid of 16 pixels."""
        if self.height % 16 or self.width % 16:
            raise ValueError(f"the picture is {self.width} x {self.height} pixels, but both must be multiples of 16.")

    @property
    def latents(self) -> tuple[int, ...]:
        """Shape [B, C, F, h, w] of what one forward and its memory cover, for ComfyUI's estimate of activations."""
        frames = self.settings.sink_frames + self.settings.window_frames
        return (self.shape.batch, 16, frames, self.shape.rows, self.shape.columns)


@dataclass(frozen=True)
class Request(PlanRequest):
    """The inputs of a sampling node.

    model  a `MODEL`.
    clip   a `CLIP` that encodes live prompts; None: there are none.
    found  what the model carries beside its weights.

    Raises ValueError for a model that cannot be streamed, and for a shift that contradicts the model's.
    """

    prompts: PromptSchedule = field(init=False, repr=False)
    model: Any
    schedule: EncodedPrompts
    _: KW_ONLY
    seed: int
    clip: Any = None
    found: host.ModelFindings = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", self.schedule.prompts)
        if self.schedule.hooks_by_name:
            object.__setattr__(self, "model", host.model_for_hooks(self.model))
        object.__setattr__(self, "found", host.inspect_model(self.model))
        object.__setattr__(self, "shift", self._agreed_shift())

    @property
    def unknown_weights(self) -> set[str]:
        """Names of weights that the state was made with and no segment has."""
        stream = None if self.state is None else self.state.stream
        return set() if stream is None else stream.weights - self.schedule.hooks_by_name.keys()

    def _agreed_shift(self) -> float:
        """The shift of a node on the model, where the widget is as it was or says the same; else the widget's."""
        of_model = self.found.shift
        if of_model is None or math.isclose(of_model, self.shift, rel_tol=1e-6):
            return self.shift
        if self.shift != USUAL_SHIFT:
            raise ValueError(
                f"shift is {self.shift:g}, but {self.found.shift_node} on the model asks for {of_model:g}: set both to "
                f"the same, leave the widget at {USUAL_SHIFT:g}, or take the node out."
            )
        return of_model


def prepare(request: Request, least_frames: int = 1) -> Plan:
    """Check all that can be checked without the model on its device; returns the schedule placed on chunks.

    least_frames  the lowest length that the node takes.

    Raises ValueError in one sentence.
    """
    plan = place(request, least_frames)
    host.check_text_width(request.model, request.schedule.embeddings)
    if request.state is not None:
        check_initial(request.model, request.state, request.shape, request.settings)
        if request.state.stream is not None:
            _check_stream(request, request.state.stream, plan.chunks)
    return plan


def place(request: PlanRequest, least_frames: int = 1) -> Plan:
    """The part of `prepare` that needs neither a model nor prompt embeddings; what lies beyond the end is left out, and
    noted in the plan. Raises ValueError in one sentence."""
    if request.length < least_frames:
        hint = " 0 is for MemFlow Stream to Video, which can go on until you end it." if least_frames else ""
        raise ValueError(f"length is {request.length} video frames, but must be at least {least_frames}.{hint}")
    request.check_size()
    check_fit(request.settings, request.sampling)
    chunks = _chunks(request)
    plan = request.prompts.within(request.grid, chunks).place(request.grid, Time(chunks, "chunks"))
    plan.check_memory(request.settings, pinned_frames(request.state), request.done)
    if not request.open_end:
        request.settings.resolve_positions(chunks * request.sampling.chunk_frames)
    return plan


def encoded_schedule(request: Request, plan: Plan) -> EncodedSchedule:
    """The request's schedule as `prepare` placed it, without what lies beyond the end, with its embeddings and
    weights."""
    prompts = request.prompts.within(plan.grid, plan.chunks)
    encoded, count = request.schedule, len(prompts.segments)
    return EncodedSchedule(prompts, plan, encoded.embeddings[:count], encoded.weights[:count])


def _chunks(request: PlanRequest) -> int:
    """Chunks of the whole story: as many as the node asks for, unless the schedule ends before.

    Where both leave it open, the most there can be.
    """
    if request.open_end:
        return _open_chunks(request)
    own = request.prompts.length
    limits = (request.most_chunks, None if own is None else request.grid.chunks_for_px(request.grid.px_of(own)))
    chunks = min(limit for limit in limits if limit is not None)
    if not chunks:
        raise ValueError(
            f"the schedule's length is {own}, less than one video frame at {request.fps:g} fps: make it longer, or "
            f"take it out."
        )
    if chunks <= request.done:
        raise ValueError(
            f"the schedule's length is {own}, but the state has {request.grid.start_s(request.done):.2f} s behind it: "
            f"make the schedule longer, or take its length out."
        )
    return chunks


def _open_chunks(request: PlanRequest) -> int:
    for segment in request.prompts.segments:
        if segment.start.unit == "percent" and segment.start.value:
            raise ValueError(
                f"the prompt {segment.prompt[:40]!r} starts at {segment.start} of the story, but length is 0, which "
                f"leaves open how long that is: set a length, or write its time in seconds."
            )
    stream = None if request.state is None else request.state.stream
    positions = request.settings.positions if stream is None else stream.meta["positions"]
    if positions == "absolute":
        return MAX_ABSOLUTE_FRAMES // request.sampling.chunk_frames
    return request.done + request.grid.chunks_for_px(MOST_FRAMES)


def _check_stream(request: Request, state: StreamState, chunks: int) -> None:
    """Raise ValueError unless a state's stream can go on as the node asks, up to so many chunks."""
    sampling = request.sampling
    if state.shape != request.shape:
        raise ValueError(
            f"the state's picture is {state.shape.columns * 8} x {state.shape.rows * 8} pixels, but the node asks "
            f"for {request.width} x {request.height}: use the state's size."
        )
    if state.sampling != sampling:
        raise ValueError(
            f"the state was made with steps {list(state.sampling.steps)} and shift {state.sampling.shift}, but the "
            f"node asks for {list(sampling.steps)} and {sampling.shift}: use the state's."
        )
    if request.memory is not None and request.memory.cache != state.memory.cache:
        raise ValueError(
            f"the state remembers with cache {state.memory.cache!r}, but the memory node is set to "
            f"{request.memory.cache!r}: set it to the state's, or connect none."
        )
    if request.memory is not None and request.memory != state.memory:
        raise ValueError(
            "the memory settings differ from those the state was made with: connect the same memory node, or none."
        )
    if state.meta["positions"] == "absolute":
        MemoryConfig(positions="absolute").resolve_positions(chunks * sampling.chunk_frames)
