"""From a sampling node's inputs to a stream that plays them. Everything is checked before the model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..memflow_core.attention_share import ShareMeter
from ..memflow_core.cache import cache_nbytes
from ..memflow_core.config import MAX_ABSOLUTE_FRAMES, MemoryConfig, SamplingConfig, check_fit
from ..memflow_core.live import LiveScript
from ..memflow_core.memory_story import MemoryStory
from ..memflow_core.rehearsal import Rehearsal, rehearse
from ..memflow_core.schedule import ChunkGrid, Plan, Time
from ..memflow_core.schedule_text import to_text
from ..memflow_core.script import Script
from ..memflow_core.state import capture, resume
from ..memflow_core.story import play
from ..memflow_core.stream import Chunk, Forward, LatentShape, Stream
from . import host, live
from .given import check_given, forwards_before, pinned_frames, read_given
from .io_types import Schedule, StoryState
from .telling import Telling

MOST_FRAMES = 1_000_000  # video frames of one run: more than 17 hours

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
    """What a sampling node was asked for. Sizes in pixels, `length` in video frames to be made in this run.

    A length of 0 leaves it to the schedule, or to whoever ends the story.
    """

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
    clip: Any = None  # reads prompts that are asked for while the story plays

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
        return (self.state and self.state.memory) or self.memory or MemoryConfig()

    @property
    def done(self) -> int:
        """Chunks that the state has behind it."""
        return 0 if self.state is None else self.state.chunks(self.sampling.chunk_frames)

    @property
    def grid(self) -> ChunkGrid:
        return ChunkGrid(self.sampling.chunk_frames, self.fps)

    @property
    def open_end(self) -> bool:
        """Whether nobody knows yet how long the story will be."""
        return self.length == 0 and self.schedule.prompts.length is None

    @property
    def most_chunks(self) -> int | None:
        """Chunks, with those of the state, that the node asks for at most; None where it leaves that open."""
        made = self.grid.px_frames(self.done) if self.done else 0
        return self.grid.chunks_for_px(made + self.length) if self.length else None

    @property
    def latents(self) -> tuple[int, ...]:
        """Shape of what one forward and its memory are about, for estimates of activations."""
        frames = self.settings.sink_frames + self.settings.window_frames
        return (self.shape.batch, 16, frames, self.shape.rows, self.shape.columns)


def prepare(request: Request, least_frames: int = 1) -> Plan:
    """Check everything that can be checked without the model on its device; returns when each prompt will start.

    least_frames  the lowest length that the node takes.

    Raises ValueError in one sentence.
    """
    if request.length < least_frames:
        hint = " 0 is for MemFlow Stream to Video, which can go on until you end it." if least_frames else ""
        raise ValueError(f"length is {request.length} video frames, but must be at least {least_frames}.{hint}")
    host.wan_tree(request.model)
    shape, sampling = request.shape, request.sampling
    check_fit(request.settings, sampling)
    chunks = _chunks(request)
    plan = request.schedule.prompts.place(request.grid, Time(chunks, "chunks"))
    plan.check_memory(request.settings, pinned_frames(request.state), request.done)
    if not request.open_end:
        request.settings.resolve_positions(chunks * sampling.chunk_frames)
    host.check_text_width(request.model, request.schedule.embeddings)
    if request.state is not None:
        check_given(request.model, request.state, shape, request.settings)
        if request.state.stream is not None:
            _check_state(request, shape, sampling, chunks)
    return plan


def _chunks(request: Request) -> int:
    """Chunks of the whole story: what the node asks for, unless the schedule ends before. Where both leave it open, the
    most there can be."""
    own, most = request.schedule.prompts.length, request.most_chunks
    if request.open_end:
        return _open_chunks(request)
    chunks = most if own is None else request.grid.chunks_for_px(request.grid.px_of(own))
    chunks = min(chunks, chunks if most is None else most)
    if chunks <= request.done:
        raise ValueError(
            f"the schedule's length is {own}, but the state has {request.grid.start_s(request.done):.2f} s behind it: "
            f"make the schedule longer, or take its length out."
        )
    return chunks


def _open_chunks(request: Request) -> int:
    for segment in request.schedule.prompts.segments:
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
    stream: Stream
    backbone_dtype: str
    live: LiveScript
    telling: Telling
    forwards: dict[str, int] = field(default_factory=dict)

    @property
    def script(self) -> Script:
        """What was played so far, or before the first chunk what is to be played."""
        script, made = self.live.script, self.stream.progress.chunk
        return script.ending_at(made) if 0 < made < script.plan.chunks else script

    @property
    def plan(self) -> Plan:
        return self.script.plan

    def __iter__(self) -> Iterator[Chunk]:
        script = self.live.script
        changes = self.live.before_chunk
        for chunk in play(self.stream, script.plan, script.embeddings, self.request.seed, changes):
            for forward in chunk.forwards:
                self.forwards[forward.kind] = self.forwards.get(forward.kind, 0) + 1
            yield chunk

    def tell(self, chunk: Chunk, picture: Any) -> None:
        """Tell the page about a chunk. picture: a PIL picture of its first frame, or None."""
        plan = self.live.script.plan
        self.telling.chunk(chunk, plan, None if self.request.open_end else plan.chunks, picture)

    def played(self) -> str:
        """What was played, as a schedule: with the same seed it plays the same."""
        return to_text(self.script.played())

    def ui(self) -> dict[str, list]:
        """For the node's result: what its memory view shows."""
        return {"memflow": [self.telling.summary()]}

    def state(self, decoder: dict | None = None) -> StoryState:
        return StoryState(capture(self.stream), decoder)

    def report(self, **more: Any) -> str:
        """JSON: the plan as it fell, the forwards that were run, and every decision of the memory."""
        done = {
            "plan": self.plan.to_dict(),
            "first_chunk": self.request.done,
            "played": self.played(),
            "positions": self.stream.positions,
            "dtype": self.backbone_dtype,
            "forwards": self.forwards,
            **more,
            "pins": sorted(self.stream.memory_config.pins),
            "memory": self.stream.trace.records,
        }
        return json.dumps(done)


@contextmanager
def story(request: Request, plan: Plan, vae: Any = None) -> Iterator[tuple[Story, host.Progress]]:
    """The model on its device, with the VAE if there is one, and a stream on it, for as long as the context lasts."""
    rehearsal = rehearse(_foreseeable(request, plan), request.settings, request.sampling, request.done)
    progress = host.Progress(request.model, *_work(request, plan, rehearsal))
    page = host.Page()
    with host.sampling(request.model, request.latents, _cache_bytes(request, rehearsal), vae) as backbone:
        stream = _stream(request, backbone, lambda forward: progress.step())
        read_given(stream, request.model, request.state)
        stream.meter = ShareMeter()
        if request.settings.positions == "auto" and stream.positions == "relative":
            host.inform("the story may be longer than 1024 latent frames, so positions are relative.")
        directed, telling = _live(request, plan, page, vae), _telling(request, page, stream)
        with live.RUNNING.open(page, directed.mailbox), telling:
            yield Story(request, stream, str(backbone.dtype).removeprefix("torch."), directed, telling), progress


def _live(request: Request, plan: Plan, page: host.Page, vae: Any) -> LiveScript:
    reader = None
    if request.clip is not None:
        reader = live.prompt_reader(
            request.clip, request.model, lambda: host.back_on_device(request.model, request.latents, vae)
        )
    script = Script(request.schedule.prompts, plan, request.schedule.embeddings)
    return live.direct(script, page, reader, request.done, request.open_end)


def _telling(request: Request, page: host.Page, stream: Stream) -> Telling:
    memory = MemoryStory(request.grid, stream.memory_config.pins)
    memory.skip(stream.trace.records)
    return Telling(page, memory, stream.memory_config.retrieval, request.done)


def _stream(request: Request, backbone: Any, on_forward: Callable[[Forward], None]) -> Stream:
    device = request.model.load_device
    if request.state is not None and request.state.stream is not None:
        return resume(request.state.stream, backbone, device, on_forward, PIN_DEVICE)
    return Stream(
        backbone,
        request.shape,
        request.settings,
        request.sampling,
        request.seed,
        # as asked for, and not as it may come: a story that ends early must play again the same
        frames=None if request.most_chunks is None else request.most_chunks * request.sampling.chunk_frames,
        device=device,
        on_forward=on_forward,
        pin_device=PIN_DEVICE,
    )


def _foreseeable(request: Request, plan: Plan) -> Plan:
    """The plan; of one with an open end so much that memory has come to hold as much as it ever will."""
    if not request.open_end:
        return plan
    settings, last = request.settings, plan.segments[-1]
    full = settings.window_frames + (settings.bank_slots + 1) * settings.record_every
    end = min(plan.chunks, max(last.start_chunk, request.done) + full)
    return replace(plan, segments=(*plan.segments[:-1], replace(last, end_chunk=end)), chunks=end)


def _work(request: Request, plan: Plan, rehearsal: Rehearsal) -> tuple[int, int | None]:
    """(forwards, chunks) of the run; those of one chunk, and None, where its end is open."""
    if request.open_end:
        return len(request.sampling.steps) + 1, None
    before = forwards_before(request.state, request.sampling.chunk_frames)
    return before + rehearsal.forwards.total(), plan.chunks


def _cache_bytes(request: Request, rehearsal: Rehearsal) -> int:
    tree, settings = host.wan_tree(request.model), request.settings
    # frames on their way to the bank take as much room each as those in a slot
    pictures = 0 if request.state is None else request.state.given.remembered_frames
    slots = settings.bank_slots + settings.sink_frames + settings.window_frames + rehearsal.prototypes + pictures
    return cache_nbytes(
        len(tree.blocks),
        request.shape.batch,
        tree.dim,
        request.shape.tokens,
        slots,
        request.model.model.get_dtype_inference(),
    )
