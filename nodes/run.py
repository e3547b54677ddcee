"""From a sampling node's inputs to a stream that plays them. Everything is checked before the model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..memflow_core.cache import cache_nbytes
from ..memflow_core.config import MemoryConfig, SamplingConfig, check_fit
from ..memflow_core.rehearsal import Rehearsal, rehearse
from ..memflow_core.schedule import ChunkGrid, Plan, Time
from ..memflow_core.state import capture, resume
from ..memflow_core.story import play
from ..memflow_core.stream import Chunk, Forward, LatentShape, Stream
from . import host
from .io_types import Schedule, StoryState

# a named pin is needed once in a while, and takes as much room as a slot of the cache
PIN_DEVICE = "cpu"


def parse_steps(text: str) -> tuple[int, ...]:
    """'1000, 750, 500, 250' -> (1000, 750, 500, 250). Raises ValueError, naming the part that is no number."""
    parts = [part for part in text.replace(",", " ").split() if part]
    for part in parts:
        if not part.isdigit():
            raise ValueError(
                f"denoising steps are {text!r}, but {part!r} is no whole number: write them as 1000, 750, 500, 250."
            )
    return tuple(int(part) for part in parts)


@dataclass(frozen=True)
class Request:
    """What a sampling node was asked for. Sizes in pixels, `length` in video frames to be made in this run."""

    model: Any
    schedule: Schedule
    seed: int
    width: int
    height: int
    length: int
    fps: float
    steps: str
    shift: float
    memory: MemoryConfig | None = None
    state: StoryState | None = None

    @property
    def shape(self) -> LatentShape:
        if self.height % 16 or self.width % 16:
            raise ValueError(f"the picture is {self.width} x {self.height} pixels, but both must be multiples of 16.")
        return LatentShape(self.height // 8, self.width // 8)

    @property
    def sampling(self) -> SamplingConfig:
        return SamplingConfig(steps=parse_steps(self.steps), shift=self.shift)

    @property
    def settings(self) -> MemoryConfig:
        """Memory settings: the node's, the state's, or the defaults."""
        if self.state is not None:
            return self.state.stream.memory
        return self.memory or MemoryConfig()

    @property
    def done(self) -> int:
        """Chunks that the state has behind it."""
        return 0 if self.state is None else self.state.stream.chunks


def prepare(request: Request) -> Plan:
    """Check everything that can be checked without the model on its device; returns when each prompt will start.

    Raises ValueError in one sentence.
    """
    if request.length < 1:
        raise ValueError(f"length is {request.length} video frames, but must be at least 1.")
    host.wan_tree(request.model)
    shape, sampling = request.shape, request.sampling
    check_fit(request.settings, sampling)
    grid = ChunkGrid(sampling.chunk_frames, request.fps)
    chunks = grid.chunks_for_px((grid.px_frames(request.done) if request.done else 0) + request.length)
    plan = request.schedule.prompts.place(grid, Time(chunks, "chunks"))
    pinned = () if request.state is None else [frame for frame, name in request.state.stream.pins if name is None]
    plan.check_memory(request.settings, pinned, request.done)
    request.settings.resolve_positions(chunks * sampling.chunk_frames)
    host.check_text_width(request.model, request.schedule.embeddings)
    if request.state is not None:
        _check_state(request, shape, sampling, chunks)
    return plan


def _check_state(request: Request, shape: LatentShape, sampling: SamplingConfig, chunks: int) -> None:
    state = request.state.stream
    if state.shape != shape:
        raise ValueError(
            f"the state's picture is {state.shape.columns * 8} x {state.shape.rows * 8} pixels, but the node asks "
            f"for {request.width} x {request.height}: use the state's size."
        )
    if state.sampling != sampling:
        raise ValueError(
            f"the state was made with steps {list(state.sampling.steps)} and shift {state.sampling.shift}, but the "
            f"node asks for {list(sampling.steps)} and {sampling.shift}: use the state's."
        )
    if request.memory is not None and request.memory != state.memory:
        raise ValueError(
            "the memory settings differ from those the state was made with: connect the same memory node, or none."
        )
    if state.meta["positions"] == "absolute":
        MemoryConfig(positions="absolute").resolve_positions(chunks * sampling.chunk_frames)


@dataclass
class Story:
    """A stream under way: iterate it for its chunks, then ask it for its state and its report."""

    request: Request
    plan: Plan
    stream: Stream
    backbone_dtype: str
    forwards: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Chunk]:
        for chunk in play(self.stream, self.plan, self.request.schedule.embeddings, self.request.seed):
            for forward in chunk.forwards:
                self.forwards[forward.kind] = self.forwards.get(forward.kind, 0) + 1
            yield chunk

    def state(self, decoder: dict | None = None) -> StoryState:
        return StoryState(capture(self.stream), decoder)

    def report(self, **more: Any) -> str:
        """JSON: the plan as it fell, the forwards that were run, and every decision of the memory."""
        done = {
            "plan": self.plan.to_dict(),
            "positions": self.stream.positions,
            "dtype": self.backbone_dtype,
            "forwards": self.forwards,
            **more,
            "memory": self.stream.trace.records,
        }
        return json.dumps(done)


@contextmanager
def story(request: Request, plan: Plan, vae: Any = None) -> Iterator[tuple[Story, host.Progress]]:
    """The model on its device, with the VAE if there is one, and a stream on it, for as long as the context lasts."""
    shape, settings = request.shape, request.settings
    rehearsal = rehearse(plan, settings, request.sampling, request.done)
    progress = host.Progress(request.model, rehearsal.forwards.total(), plan.chunks)
    latents = (shape.batch, 16, settings.sink_frames + settings.window_frames, shape.rows, shape.columns)
    with host.sampling(request.model, latents, _cache_bytes(request, rehearsal), vae) as backbone:
        stream = _stream(request, plan, backbone, lambda forward: progress.step())
        if settings.positions == "auto" and stream.positions == "relative":
            host.inform("the story is longer than 1024 latent frames, so positions are relative.")
        yield Story(request, plan, stream, str(backbone.dtype).removeprefix("torch.")), progress


def _stream(request: Request, plan: Plan, backbone: Any, on_forward: Callable[[Forward], None]) -> Stream:
    device = request.model.load_device
    if request.state is not None:
        return resume(request.state.stream, backbone, device, on_forward, PIN_DEVICE)
    return Stream(
        backbone,
        request.shape,
        request.settings,
        request.sampling,
        request.seed,
        frames=plan.chunks * request.sampling.chunk_frames,
        device=device,
        on_forward=on_forward,
        pin_device=PIN_DEVICE,
    )


def _cache_bytes(request: Request, rehearsal: Rehearsal) -> int:
    tree, settings = host.wan_tree(request.model), request.settings
    # recorded frames on their way to the bank take as much room each as those in a slot
    slots = settings.bank_slots + settings.sink_frames + settings.window_frames + rehearsal.prototypes
    return cache_nbytes(
        len(tree.blocks),
        request.shape.batch,
        tree.dim,
        request.shape.tokens,
        slots,
        request.model.model.get_dtype_inference(),
    )
