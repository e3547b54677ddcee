"""A sampling node's story while it plays: the stream on its device, and what it tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ...memflow_core.attention import AttentionShareMeter
from ...memflow_core.footprint import Footprint
from ...memflow_core.play import EncodedSchedule, LiveSchedule, MemoryLog, play
from ...memflow_core.rehearsal import Rehearsal, rehearse
from ...memflow_core.schedule import Plan, to_text
from ...memflow_core.state import capture, resume
from ...memflow_core.stream import Chunk, ForwardPass, Stream
from .. import host
from . import estimate as outlook
from . import live
from .budget import check_budget
from .events import RunEvents
from .request import Request, foreseeable
from .start_state import StoryState, forwards_before, read_given

# a named pin is needed once in a while, and takes as much room as a slot of the cache
PIN_DEVICE = "cpu"


def _nothing() -> None:
    pass


@dataclass
class OverlapHooks:
    """What goes on beside a story: whoever starts something there says how to look after it.

    look    called before every pass through the model, and again and again while the story is paused; may raise.
    settle  called before another model runs; nothing may use model or VAE when it returns.
    """

    look: Callable[[], None] = _nothing
    settle: Callable[[], None] = _nothing


@dataclass
class Run:
    """A stream under way: iterate it for its chunks, then ask it for its state and its report."""

    request: Request
    stream: Stream
    backbone_dtype: str
    live: LiveSchedule
    telling: RunEvents
    footprint: Footprint
    beside: OverlapHooks
    forwards: dict[str, int] = field(default_factory=dict)

    @property
    def script(self) -> EncodedSchedule:
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
            "estimate": self.footprint.to_dict(),
            **more,
            "pins": sorted(self.stream.memory_config.pins),
            "memory": self.stream.trace.records,
        }
        return json.dumps(done)


@contextmanager
def open_run(request: Request, plan: Plan, vae: Any = None) -> Iterator[tuple[Run, host.Progress]]:
    """The model on its device, with the VAE if there is one, and a stream on it, for as long as the context lasts."""
    rehearsal = rehearse(foreseeable(request, plan), request.settings, request.sampling, request.done)
    progress = host.Progress(request.model, *_work(request, plan, rehearsal))
    page = host.Page()
    footprint = outlook.estimate_run(request, plan, vae)
    told = footprint.told()
    page.send("memflow.plan", told)
    slower = check_budget(request, plan, footprint, vae)
    if slower is not None:
        host.inform(slower)
    progress.say("\n".join((*told["lines"], *([slower] if slower else []))))
    with host.sampling(request.model, request.latents, _room(request, footprint), vae) as backbone:
        beside = OverlapHooks()

        def before_forward(forward: ForwardPass) -> None:
            progress.step(forward.chunk)
            beside.look()

        stream = _stream(request, backbone, before_forward)
        read_given(stream, request.model, request.state)
        stream.meter = AttentionShareMeter()
        if request.settings.positions == "auto" and stream.positions == "relative":
            host.inform("the story may be longer than 1024 latent frames, so positions are relative.")
        directed, telling = _live(request, plan, page, vae, beside), _telling(request, page, stream)
        with live.RUNNING.listed(page, directed.mailbox), telling:
            dtype = str(backbone.dtype).removeprefix("torch.")
            yield Run(request, stream, dtype, directed, telling, footprint, beside), progress


def _live(request: Request, plan: Plan, page: host.Page, vae: Any, beside: OverlapHooks) -> LiveSchedule:
    def on_hold() -> None:
        host.stop_if_cancelled()
        beside.look()

    reader = None
    if request.clip is not None:
        reader = live.prompt_encoder(
            request.clip,
            request.model,
            settle=lambda: beside.settle(),
            back_on_device=lambda: host.back_on_device(request.model, request.latents, vae),
        )
    script = EncodedSchedule(request.schedule.prompts, plan, request.schedule.embeddings)
    return live.direct(script, page, encode=reader, first=request.done, open_end=request.open_end, on_hold=on_hold)


def _telling(request: Request, page: host.Page, stream: Stream) -> RunEvents:
    memory = MemoryLog(request.grid, stream.memory_config.pins)
    memory.skip(stream.trace.records)
    return RunEvents(page, memory, stream.memory_config.retrieval, request.done)


def _stream(request: Request, backbone: Any, on_forward: Callable[[ForwardPass], None]) -> Stream:
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


def _work(request: Request, plan: Plan, rehearsal: Rehearsal) -> tuple[int, int | None]:
    """(forwards, chunks) of the run; those of one chunk, and None, where its end is open."""
    if request.open_end:
        return len(request.sampling.steps) + 1, None
    before = forwards_before(request.state, request.sampling.chunk_frames)
    return before + rehearsal.forwards.total(), plan.chunks


def _room(request: Request, footprint: Footprint) -> int:
    """Bytes that a run needs on the device beside weights."""
    # pictures wait for the bank in as much room as a frame has in a slot
    pictures = 0 if request.state is None else request.state.given.remembered_frames
    return footprint.fixed_bytes + pictures * footprint.estimate.window_bytes // request.settings.window_frames
