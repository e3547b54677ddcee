"""One run under way: the model on its device, a stream on it, and those who are informed of its chunks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from ...memflow_core.attention import AttentionShareMeter
from ...memflow_core.estimate import Footprint
from ...memflow_core.model import Backbone
from ...memflow_core.play import EncodedSchedule, LiveSchedule, MemoryLog, play
from ...memflow_core.schedule import Plan, to_text
from ...memflow_core.state import capture, resume
from ...memflow_core.stream import Chunk, ForwardPass, Stream, denoising_timesteps
from ...memflow_core.video import VideoWriter
from .. import host
from ..report import data_url
from .budget import check_budget
from .control_plan import controls_json
from .controls import control_track, used_control
from .estimate import estimate_run
from .events import MadeBefore, RunEvents
from .film import GrowingFilm
from .live import RUNNING, direct, prompt_encoder
from .messages import Message
from .plan_text import note_messages, plan_json
from .profile_text import told_of_auto
from .request import Request, encoded_schedule
from .start_state import StoryState, load_initial, pictures_shown
from .told import told

# a named pin is needed once in a while, and takes as much room as a slot of the cache
PIN_DEVICE = "cpu"


def _nothing() -> None:
    pass


class RunHooks:
    """Callables that look after work beside the sampling. They do nothing until that work sets them."""

    def __init__(self) -> None:
        self._look: Callable[[], None] = _nothing
        self._settle: Callable[[], None] = _nothing

    def look(self) -> None:
        """Called before every pass through the model, and again and again while the run is paused; may raise."""
        self._look()

    def settle(self) -> None:
        """Called before another model runs; when it returns, nothing uses model or VAE."""
        self._settle()

    @contextmanager
    def set(self, *, look: Callable[[], None], settle: Callable[[], None]) -> Iterator[None]:
        """Call these for as long as the context lasts."""
        self._look = look
        self._settle = settle
        try:
            yield
        finally:
            self._look = _nothing
            self._settle = _nothing


@dataclass(kw_only=True)
class Run:
    """A stream under way. Iterate it for its chunks, announce each of them, then take its state and its report.

    stream     with what the state brought already read.
    dtype      precision in which the model computes.
    live       the schedule that is played, which may change between two chunks.
    footprint  the estimate that was made before the run.
    told       what the run was given and does not use as it is meant, a sentence each.
    hooks      set by what works beside the sampling.
    forwards   passes through the model so far, by kind.
    """

    request: Request
    stream: Stream
    dtype: str
    live: LiveSchedule
    progress: host.Progress
    events: RunEvents
    footprint: Footprint
    hooks: RunHooks
    told: list[Message] = field(default_factory=list)
    forwards: dict[str, int] = field(default_factory=dict)

    @property
    def schedule(self) -> EncodedSchedule:
        """What was played so far, or before the first chunk what is to be played."""
        schedule = self.live.prompts
        made = self.stream.progress.chunk
        return schedule.ending_at(made) if 0 < made < schedule.plan.chunks else schedule

    def __iter__(self) -> Iterator[Chunk]:
        for chunk in play(self.stream, self.live.prompts, self.request.seed, self.live.before_chunk):
            for forward in chunk.forwards:
                self.forwards[forward.kind] = self.forwards.get(forward.kind, 0) + 1
            yield chunk

    def announce(self, chunk: Chunk, thumbnail: str | None = None, newest: Image.Image | None = None) -> None:
        """Pass a finished chunk to all observers: progress bar, preview and the page's events.

        thumbnail  data URL of a small picture of the chunk's first frame; by default a preview of its latents.
        newest     the chunk's last frame; None: its latents are previewed.
        """
        self.progress.after_chunk(chunk)
        if newest is None:
            self.progress.preview_latents(chunk.latents)
        else:
            self.progress.preview_frame(newest)
        if thumbnail is None:
            thumbnail = self.small_picture(chunk)
        plan = self.live.prompts.plan
        self.events.send_chunk(chunk, plan, None if self.request.open_end else plan.chunks, thumbnail)

    def show_film(self, file: host.OutputFile, writer: VideoWriter) -> None:
        """Let the page play the file that is written from now on."""
        self.events.film = GrowingFilm(file, writer)

    def small_picture(self, chunk: Chunk) -> str | None:
        """Data URL of a small picture of a chunk's first frame, as previews show it; None where there is none."""
        picture = self.progress.picture(chunk.latents)
        return None if picture is None else data_url(picture)

    def recent_latents(self) -> list[Tensor]:
        """Latents of the newest chunks, [1, C, F, h, w] float32 each in the model's latent space, oldest first."""
        return list(self.stream.progress.recent)

    def played(self) -> str:
        """What was played, as a schedule's text; comments say what was left out. With the same seed it makes the same
        video."""
        return to_text(self.schedule.played(), notes=True)

    def ui(self) -> dict[str, list]:
        """The part of the node's result that its memory view shows.

        `played` is in it where something else was played than what was given.
        """
        played = {"played": self.played()} if self.live.changed else {}
        return {"memflow": [{**self.events.summary(), **played}]}

    def state(self, decoder: dict[str, Tensor] | None = None) -> StoryState:
        """Where the story stands now. decoder: what a `ChunkDecoder.state()` returns, the video decoder's carry."""
        return StoryState(capture(self.stream), decoder, shown=self.events.remembered())

    def report(self, **more: Any) -> str:
        """JSON: the plan as it was played, the passes that were run, and every decision of the memory."""
        memory = {name: value for name, value in asdict(self.stream.memory_config).items() if name != "pins"}
        content = {
            "plan": self.schedule.plan.to_dict(),
            "first_chunk": self.request.done,
            "played": self.played(),
            "positions": self.stream.positions,
            "dtype": self.dtype,
            "forwards": self.forwards,
            "estimate": self.footprint.to_dict(),
            "settings": {"memory": memory, "auto": sorted(self.request.opened)},
            "told": [str(sentence) for sentence in self.told],
            **more,
            "pins": sorted(self.stream.memory_config.pins),
            "memory": self.stream.trace.records,
        }
        return json.dumps(content)


@contextmanager
def open_run(
    request: Request, plan: Plan, vae: Any = None, more: Sequence[Message] = (), before: MadeBefore | None = None
) -> Iterator[Run]:
    """The model on its device, with the VAE if there is one, and a stream on it, for as long as the context lasts.

    more    further sentences to tell with those on the request.
    before  chunks that an earlier run has made, and that the request's state has behind it.

    Raises ValueError before anything is loaded if the run does not fit on the device.
    """
    footprint = estimate_run(request, plan, vae)
    sentences = [*more, *told(request)]
    # what memory on auto became is nothing to be reminded of at each chunk
    note = "\n".join(str(sentence) for sentence in sentences if sentence not in told_of_auto(request))
    progress = host.Progress(request.model, *_work(request, plan, footprint), note=note)
    page = host.Page()
    _show_plan(request, plan, vae, footprint=footprint, sentences=sentences, page=page, progress=progress)
    hooks = RunHooks()
    weights = host.HookedWeights(request.model, request.schedule.hooks_by_name)
    sampled = {time for chunk in (0, 1) for time in denoising_timesteps(request.sampling, chunk)}
    timesteps = sorted(sampled, reverse=True)
    needed = _room(request, footprint)
    options = {"weights": weights, "timesteps": timesteps, "control": used_control(request.control)}
    with host.sampling(request.model, request.latents, needed, vae, **options) as backbone:
        stream = _start_stream(request, plan, backbone, progress, hooks)
        live = _live_schedule(request, plan, vae, page=page, hooks=hooks, weights=weights)
        events = _events(request, page, stream, live.prompts.plan, before)
        with host.stopped_at_exit(), RUNNING.listed(live.control, events), events:
            yield Run(
                request=request,
                stream=stream,
                dtype=str(backbone.dtype).removeprefix("torch."),
                live=live,
                progress=progress,
                events=events,
                footprint=footprint,
                hooks=hooks,
                told=sentences,
            )


def _show_plan(
    request: Request,
    plan: Plan,
    vae: Any,
    *,
    footprint: Footprint,
    sentences: list[Message],
    page: host.Page,
    progress: host.Progress,
) -> None:
    """Show the estimate, and what is told of schedule and request, on page, node and log; check the estimate."""
    shown = plan_json(
        footprint,
        told=[*note_messages(plan.notes), *sentences],
        computes=str(host.dtype_of(request.model)).removeprefix("torch."),
        on_cpu=host.device_of(request.model).type == "cpu",
    )
    for sentence in sentences:
        host.log(str(sentence))
    controls = () if request.control is None else request.control.controls
    placed = controls_json(controls, plan.grid, request.control_chunks(plan))
    page.send("memflow.plan", {**shown, "chunk_frames": request.sampling.chunk_frames, "controls": placed})
    slower = check_budget(request, plan, footprint, vae)
    if slower is not None:
        host.log(slower)
    progress.show_text("\n".join((*shown["lines"], *([slower] if slower else []))))


def _start_stream(request: Request, plan: Plan, backbone: Backbone, progress: host.Progress, hooks: RunHooks) -> Stream:
    """A stream on the model, with what the state brings already read."""

    def before_forward(forward: ForwardPass) -> None:
        progress.before_forward(forward.chunk)
        hooks.look()

    stream = _stream(request, backbone, before_forward)
    load_initial(stream, request.model, request.state)
    if request.control is not None:
        chunks = request.control_chunks(plan)
        stream.control = control_track(request.control, request.model, request.shape, plan.grid, chunks)
    stream.meter = AttentionShareMeter()
    if request.settings.positions == "auto" and stream.positions == "relative":
        host.log("the story may be longer than 1024 latent frames, so positions are relative.")
    return stream


def _stream(request: Request, backbone: Backbone, on_forward: Callable[[ForwardPass], None]) -> Stream:
    device = host.device_of(request.model)
    if request.state is not None and request.state.stream is not None:
        return resume(request.state.stream, backbone, device=device, on_forward=on_forward, pin_device=PIN_DEVICE)
    return Stream(
        backbone,
        request.shape,
        memory=request.settings,
        sampling=request.sampling,
        seed=request.seed,
        positions=request.positions,
        device=device,
        on_forward=on_forward,
        pin_device=PIN_DEVICE,
    )


def _live_schedule(
    request: Request, plan: Plan, vae: Any, *, page: host.Page, hooks: RunHooks, weights: host.HookedWeights
) -> LiveSchedule:
    def on_hold() -> None:
        host.stop_if_cancelled()
        hooks.look()

    encode = None
    if request.clip is not None:
        encode = prompt_encoder(
            request.clip,
            request.model,
            settle=hooks.settle,
            back_on_device=lambda: host.back_on_device(
                request.model,
                request.latents,
                vae,
                weights,
                used_control(request.control),
            ),
        )
    schedule = encoded_schedule(request, plan)
    return direct(schedule, page, encode=encode, first=request.done, open_end=request.open_end, on_hold=on_hold)


def _events(request: Request, page: host.Page, stream: Stream, plan: Plan, before: MadeBefore | None) -> RunEvents:
    log = MemoryLog(request.grid, stream.memory_config.pins)
    first = request.done if before is None else before.first
    events = RunEvents(page, log, policy=stream.memory_config.retrieval, first_chunk=first)
    events.show_before(pictures_shown(request.state))
    if before is None:
        log.skip(stream.trace.records)
    else:
        chunks = None if request.open_end else plan.chunks
        events.send_before(before, stream.trace.records, plan, chunks, request.done)
    return events


def _work(request: Request, plan: Plan, footprint: Footprint) -> tuple[int, int | None]:
    """(passes, chunks) of the run for its progress bar; those of one chunk, and None, where its end is open."""
    if request.open_end:
        return len(request.sampling.steps) + 1 + request.sampling.refresh, None
    return footprint.passes, plan.chunks


def _room(request: Request, footprint: Footprint) -> int:
    """Bytes that a run needs on the device beside weights."""
    # pictures wait for the bank in as much room as a frame has in a slot
    pictures = 0 if request.state is None else request.state.initial.remembered_frames
    return footprint.fixed_bytes + pictures * footprint.estimate.window_bytes // request.settings.window_frames
