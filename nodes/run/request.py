"""The inputs of a sampling node, checked and placed on chunks before the model is loaded."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from torch import Tensor

from ...memflow_core.config import (
    MAX_ABSOLUTE_FRAMES,
    LatentShape,
    MemoryConfig,
    SamplingConfig,
    check_fit,
    stream_positions,
)
from ...memflow_core.play import EncodedSchedule
from ...memflow_core.profiles import PROFILES, OpenMemory, Picked, Profile, left_open, settled
from ...memflow_core.schedule import ChunkGrid, Plan, PromptSchedule, Time, changes_of, farthest_position
from ...memflow_core.state import StreamState
from .. import host
from .controls import Controls, check_controls
from .start_state import StoryState, check_initial, pinned_frames
from .steps import parse_steps

MOST_FRAMES = 1_000_000  # video frames of one run: more than 17 hours
USUAL_SHIFT = SamplingConfig().shift
USUAL_STEPS = "1000, 750, 500, 250"  # of the widget, which then leaves them to the model's profile


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
    memory         what it leaves open, and None, are as the state has them, or as the profile has them.
    state          where the story stands; None for a new story.
    profile        what the model was trained with: its chunks, and what the widgets leave as it is.
    """

    prompts: PromptSchedule
    width: int
    height: int
    length: int
    fps: float
    steps: str
    shift: float = 5.0
    memory: MemoryConfig | OpenMemory | None = None
    state: StoryState | None = None
    profile: Profile = PROFILES["MemFlow"]

    @property
    def shape(self) -> LatentShape:
        """Latent size. Raises ValueError for a picture off the grid of two latents."""
        return LatentShape.of_picture(self.width, self.height, self.profile.pixels)

    @property
    def sampling(self) -> SamplingConfig:
        """The profile's settings, with steps and shift of the node where it has others than usual.

        Raises ValueError for steps that are none.
        """
        steps = None if self.steps.strip() == USUAL_STEPS else parse_steps(self.steps)
        shift = None if self.shift == USUAL_SHIFT else self.shift
        return self.profile.changed(steps=steps, shift=shift).sampling

    @property
    def settings(self) -> MemoryConfig:
        """Memory settings: the state's, or the node's, with what it leaves open as the profile has it."""
        return (self.state and self.state.memory) or settled(self.memory, self.profile.memory)

    @property
    def opened(self) -> dict[str, Any]:
        """Memory settings that are left to the model, by their names, and what they became; empty where none is."""
        return {name: getattr(self.settings, name) for name in sorted(left_open(self.memory, self.profile.memory))}

    @property
    def as_the_model(self) -> bool:
        """Whether memory as a whole is left to the model."""
        return self.memory is None or (isinstance(self.memory, OpenMemory) and self.memory.whole)

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

    @property
    def most_frames(self) -> int | None:
        """Latent frames that positions have to reach, jumps included; None for a length of 0.

        As the length asks, not as much as is played: what ended early must play again the same.
        """
        if self.most_chunks is None:
            return None
        changes = changes_of(self.prompts, self.grid, self.most_chunks)
        return farthest_position(
            changes,
            self.most_chunks,
            chunk_frames=self.sampling.chunk_frames,
            shot_offset=self.settings.shot_offset,
        )

    @property
    def positions(self) -> str:
        """`absolute` or `relative`, as the state has them or the length asked for decides.

        Raises ValueError for a length that absolute positions cannot have.
        """
        if self.state is not None and self.state.stream is not None:
            return self.state.stream.meta["positions"]
        return stream_positions(self.settings, self.sampling, self.most_frames)

    def control_chunks(self, plan: Plan) -> int | None:
        """Chunks of the whole story that controls are placed on; None where its end is open."""
        return None if self.open_end else plan.chunks

    def check_size(self) -> None:
        """Raise ValueError for a picture off the grid of two latents: 16 pixels, or 32 with the Wan 2.2 VAE."""
        _ = self.shape

    @property
    def latents(self) -> tuple[int, ...]:
        """Shape [B, C, F, h, w] of what one forward and its memory cover, for ComfyUI's estimate of activations."""
        frames = self.settings.sink_frames + self.settings.window_frames
        return (self.shape.batch, self.profile.channels, frames, self.shape.rows, self.shape.columns)


@dataclass(frozen=True)
class Request(PlanRequest):
    """The inputs of a sampling node.

    model  a `MODEL`, whose profile counts.
    clip   a `CLIP` that encodes live prompts; None: there are none.
    control  what steers the story; None: nothing does.
    found  what the model carries beside its weights.

    Raises ValueError for a model that cannot be streamed, and for a shift that contradicts the model's.
    """

    prompts: PromptSchedule = field(init=False, repr=False)
    model: Any
    schedule: EncodedPrompts
    _: KW_ONLY
    seed: int
    clip: Any = None
    control: Controls | None = None
    found: host.ModelFindings = field(init=False, repr=False)
    profile: Profile = field(init=False, repr=False)
    picked: Picked = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", self.schedule.prompts)
        if self.schedule.hooks_by_name:
            object.__setattr__(self, "model", host.model_for_hooks(self.model))
        object.__setattr__(self, "found", host.inspect_model(self.model))
        object.__setattr__(self, "picked", host.profile_of(self.model))
        object.__setattr__(self, "profile", self.picked.profile)
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
        check_initial(request.model, request.state, request.shape, request.settings, request.sampling.chunk_frames)
        if request.state.stream is not None:
            _check_stream(request, request.state.stream, plan)
    if request.control is not None:
        notes = check_controls(
            request.control,
            request.model,
            request.shape,
            plan.grid,
            request.control_chunks(plan),
            len(request.sampling.steps),
        )
        plan = replace(plan, notes=(*plan.notes, *notes))
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
        stream_positions(request.settings, request.sampling, reach(request, plan))
    return plan


def reach(request: PlanRequest, plan: Plan) -> int:
    """The last absolute position of a plan, counted in latent frames, from where the state stands."""
    stream = None if request.state is None else request.state.stream
    known = {} if stream is None else stream.meta
    done = request.done if stream is not None else 0
    return farthest_position(
        [(one.start_chunk, one.switch) for one in plan.segments[1:] if one.start_chunk >= done],
        plan.chunks,
        chunk_frames=request.sampling.chunk_frames,
        shot_offset=request.settings.shot_offset,
        began=known.get("began", 0),
        jumps=len(known.get("jumps", ())),
    )


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
        meta = {} if stream is None else stream.meta
        # a fresh prompt counts positions from 0 again, a jump leaves some out
        left_out = request.settings.shot_offset * len(meta.get("jumps", ()))
        chunks = (meta.get("began", 0) + MAX_ABSOLUTE_FRAMES - left_out) // request.sampling.chunk_frames
        if chunks <= request.done:
            raise ValueError(
                f"the state has {request.grid.start_s(request.done):.2f} s behind it, which is as far as absolute "
                f"positions reach: begin a new story with a [fresh] prompt and a length, or use relative positions."
            )
        return chunks
    return request.done + request.grid.chunks_for_px(MOST_FRAMES)


def _check_stream(request: Request, state: StreamState, plan: Plan) -> None:
    """Raise ValueError unless a state's stream can go on as the node asks, to the end of a plan."""
    sampling = request.sampling
    if state.shape != request.shape:
        raise ValueError(
            f"the state's picture is {state.shape.picture[0]} x {state.shape.picture[1]} pixels, but the node asks "
            f"for {request.width} x {request.height}: use the state's size."
        )
    if state.sampling.chunk_frames != sampling.chunk_frames:
        raise ValueError(
            f"the state's chunks have {state.sampling.chunk_frames} latent frames, but the model's profile "
            f"({request.profile.name}) makes {sampling.chunk_frames}: put MemFlow Model Profile behind the loader, and "
            f"set chunk_frames to {state.sampling.chunk_frames}."
        )
    if state.sampling != sampling and (state.sampling.steps, state.sampling.shift) == (sampling.steps, sampling.shift):
        raise ValueError(
            f"the state was made under another profile than the model's ({request.profile.name}): other steps for the "
            f"first chunk, another solver, or steps that are not shifted; choose it with MemFlow Model Profile."
        )
    if state.sampling != sampling:
        raise ValueError(
            f"the state was made with steps {list(state.sampling.steps)} and shift {state.sampling.shift}, but the "
            f"node asks for {list(sampling.steps)} and {sampling.shift}: use the state's."
        )
    # what the node leaves open goes on as the state has it
    asked = settled(request.memory, state.memory)
    if asked.cache != state.memory.cache:
        raise ValueError(
            f"the state remembers with cache {state.memory.cache!r}, but the memory node is set to "
            f"{asked.cache!r}: set it to the state's, or connect none."
        )
    if asked != state.memory:
        raise ValueError(
            "the memory settings differ from those the state was made with: connect the same memory node, or none."
        )
    if state.meta["positions"] == "absolute":
        MemoryConfig(positions="absolute").resolve_positions(reach(request, plan))
