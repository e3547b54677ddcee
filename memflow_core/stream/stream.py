"""The streaming loop: one `next()` is one finished chunk.

A chunk is denoised in a few steps against the KV cache, then passes through the model once more, clean, to leave
its keys and values for the chunks to come (the context pass). Before it starts, the memory bank is updated for its
prompt. A changed prompt takes effect at the next chunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..attention import AttentionShareMeter, MemoryAttention, memory_reader
from ..config import MAX_ABSOLUTE_FRAMES, LatentShape, MemoryConfig, SamplingConfig, check_fit, check_switch
from ..memory import (
    KINDS,
    FrameSpan,
    KVCache,
    KVProvenance,
    KVWrite,
    LayerHook,
    NarrativeMemory,
    ReferenceMemory,
    SlotLayout,
    Trace,
    published_span,
)
from ..model import Backbone, Rope
from .chunk import Chunk, ForwardPass
from .flow import FlowSchedule, denoising_timesteps
from .noise import Noise, SeededNoise, draws_on
from .prompt import Prompt, PromptChange, TextBlend, check_embedding


@dataclass
class _Progress:
    """Counters of a stream; with the cache and the bank, its whole state."""

    chunk: int = 0
    prompts: int = 0
    # published behaviour: the first bank update after a switch does not know the text yet
    text_known: bool = True
    recent: deque[Tensor] = field(default_factory=deque)  # latents of the newest chunks, for a recache


class Stream:
    """An endless iterator of `Chunk`s.

    backbone    the model, already on its device.
    shape       batch and latent size.
    noise       a seed, or any `Noise`.
    frames      latent frames that will be asked for, if known: decides `positions="auto"`.
    on_forward  called before every pass through the model; may raise to stop, which ends the stream.
    positions   `absolute` or `relative` where that is settled already; else the memory settings decide.
    pin_device  where the keys and values of named pins wait (a latent frame's, of all layers, for each pin); None:
                on `device`.
    prompt      what is spoken, with the way to it while a blend lasts; None before the first chunk.
    meter       set it to have the trace tell how each chunk's first step shares its attention out.

    Raises ValueError for settings that do not fit together, and from `next()` if no prompt was set.
    """

    def __init__(
        self,
        backbone: Backbone,
        shape: LatentShape,
        memory: MemoryConfig | None = None,
        sampling: SamplingConfig | None = None,
        noise: int | Noise = 0,
        frames: int | None = None,
        device: torch.device | str = "cpu",
        on_forward: Callable[[ForwardPass], None] | None = None,
        positions: str | None = None,
        pin_device: torch.device | str | None = None,
    ):
        self.backbone, self.shape, self.device = backbone, shape, torch.device(device)
        self.memory_config, self.sampling = memory or MemoryConfig(), sampling or SamplingConfig()
        check_fit(self.memory_config, self.sampling)
        self.noise = SeededNoise(noise) if isinstance(noise, int) else noise
        self.positions = positions or self.memory_config.resolve_positions(frames)
        self.on_forward = on_forward
        self.trace = Trace()
        self.ledger = KVProvenance()
        self.meter: AttentionShareMeter | None = None
        self.progress = _Progress()
        self.timesteps = denoising_timesteps(self.sampling)
        self._flow = FlowSchedule(self.sampling.shift)
        self.prompt: Prompt | None = None
        self.waiting: PromptChange | None = None
        self._forwards: list[ForwardPass] = []
        self._finished = self.broken = False
        self._build_memory(self.device if pin_device is None else torch.device(pin_device))

    def _build_memory(self, pin_device: torch.device) -> None:
        config, bone = self.memory_config, self.backbone
        self._published = config.retrieval == "reference"
        at = SlotLayout(config.sink_frames, config.window_frames, config.bank_slots)
        self.cache = KVCache(
            *(bone.layers, self.shape.batch, bone.heads, self.shape.tokens, bone.head_dim, at, bone.dtype, self.device),
            in_fp8=config.cache == "fp8",
        )
        rope = Rope(bone.head_dim, self.shape.rows // 2, self.shape.columns // 2, self.device)
        reader = memory_reader(bone, config, self.sampling, self.shape, self.device)
        self.attention = MemoryAttention(
            self.cache, rope, bone.attention, config.top_k, self.positions == "relative", self._published, reader
        )
        if self._published:
            self.memory: ReferenceMemory | NarrativeMemory = ReferenceMemory(self.cache, config, self.trace)
        else:
            self.memory = NarrativeMemory(self.cache, config, self.trace, self.sampling.chunk_frames, pin_device)

    # -- what a caller does between chunks ------------------------------------------------------------------------

    def set_prompt(
        self,
        text: Tensor,
        switch: str = "recache",
        noise: int | Noise | None = None,
        *,
        blend_chunks: int = 4,
        blend_path: str = "linear",
        recall: Sequence[str] = (),
    ) -> None:
        """Change the prompt from the next chunk on.

        text          [1 or B, length, text_dim], rows of zeros are padding.
        switch        recache: the window's keys are recomputed under the new prompt. soft: only the text changes.
                      cut: window and sink are forgotten, the bank stays. blend: only the text changes, step by step
                      over `blend_chunks` chunks, the last of which speaks the new prompt alone; `blend_path` is
                      `linear` or `spherical`. A blend starts from the text that is spoken, a blend's own included.
        noise         a new seed from here on.
        recall        names of pins that stand in the bank under this prompt.
        """
        check_switch(switch, blend_chunks, blend_path)
        self.check_text(text)
        if recall:
            self._check_pins()
            self.memory.pins.check_recall(recall)
        noise = SeededNoise(noise) if isinstance(noise, int) else noise
        self.waiting = PromptChange(text, switch, noise, blend_chunks, blend_path, tuple(recall))

    def check_text(self, text: Tensor) -> None:
        """Raise ValueError unless the stream's model can read a prompt embedding."""
        check_embedding(text, self.backbone.text_dim, self.shape.batch)

    @torch.inference_mode()
    def pin(self, frame: int, name: str | None = None) -> None:
        """Keep a latent frame; one that is not made yet is kept as soon as it is.

        Without a name it stands in the bank for good. With a name its keys and values are put aside, and it stands
        in the bank under prompts that `recall` it. Doing so twice changes nothing.

        Raises ValueError where it cannot be: nothing holds the frame any more, the name is another frame's, or the
        bank has no room.
        """
        self._check_pins()
        number = self.progress.prompts - 1 if self.prompt is None else self.prompt.keys.number
        self.memory.pin(self.progress.chunk, frame, name, self.upcoming, number)
        self.settle_ledger()

    def unpin(self, pin: int | str) -> None:
        """Take back the pin of a latent frame, or of a name; its frame is then one like any other.

        Raises ValueError if there is no such pin.
        """
        self._check_pins()
        self.memory.unpin(self.progress.chunk, pin)
        if self.waiting is not None:
            self.waiting = replace(self.waiting, recall=tuple(name for name in self.waiting.recall if name != pin))
        self.settle_ledger()

    @property
    def pins(self) -> list[tuple[int, str | None]]:
        """Latent frames that are pinned and their names, by frame."""
        return self.memory.pins.listed

    @property
    def recalled(self) -> tuple[str, ...]:
        """Names of the pins that the current prompt asks for."""
        return self.memory.pins.recalled

    @property
    def upcoming(self) -> tuple[str, ...]:
        """Names of the pins that the coming chunk's prompt asks for."""
        return self.recalled if self.waiting is None else self.waiting.recall

    def _check_pins(self) -> None:
        if self._published:
            raise ValueError("retrieval 'reference' knows no pins: choose another policy to pin a frame.")

    def finish(self) -> None:
        """End the iteration before the next chunk."""
        self._finished = True

    def __iter__(self) -> Iterator[Chunk]:
        return self

    @torch.inference_mode()
    def __next__(self) -> Chunk:
        if self._finished:
            raise StopIteration
        return self._advance()

    @torch.inference_mode()
    def prefill(self, latents: Tensor) -> Chunk:
        """A chunk that is not made but given: its context pass alone writes it into memory.

        Passes are counted with the next chunk that is made.

        latents  [B, C, F, h, w] in the model's latent space, F a chunk's latent frames. Raises ValueError for others.
        """
        if tuple(latents.shape) != self._chunk_size:
            raise ValueError(
                f"the chunk given has shape {list(latents.shape)}, but this stream's have {list(self._chunk_size)}."
            )
        chunk = self._advance(latents.to(self.device, torch.float32))
        self._forwards = list(chunk.forwards)
        return chunk

    def _advance(self, given: Tensor | None = None) -> Chunk:
        if self.broken:
            raise RuntimeError("the last chunk was broken off inside; resume the stream from a saved state.")
        if self.prompt is None and self.waiting is None:
            raise ValueError("the stream has no prompt: set one before the first chunk.")
        self._check_reach()
        self.broken = True
        self._apply_change()
        latents = self._make_chunk(given)
        self.broken = False
        forwards, self._forwards = tuple(self._forwards), []
        number, records = self.prompt.keys.number, self.trace.flush()
        chunk = Chunk(self.progress.chunk, self._start, latents, number, forwards, records)
        self._keep_recent(latents)
        self.settle_ledger()
        self.progress.chunk += 1
        return chunk

    # -- one chunk ------------------------------------------------------------------------------------------------

    @property
    def _start(self) -> int:
        """First latent frame of the current chunk."""
        return self.progress.chunk * self.sampling.chunk_frames

    def _check_reach(self) -> None:
        if self.positions == "absolute" and self._start + self.sampling.chunk_frames > MAX_ABSOLUTE_FRAMES:
            raise ValueError(
                f"absolute positions end at {MAX_ABSOLUTE_FRAMES} latent frames, which this stream has "
                f"reached: start it with relative positions to go on."
            )

    @property
    def _chunk_size(self) -> tuple[int, ...]:
        shape = self.shape
        return (shape.batch, self.backbone.channels, self.sampling.chunk_frames, shape.rows, shape.columns)

    def _make_chunk(self, x0: Tensor | None) -> Tensor:
        """The coming chunk: denoised, unless its clean latents are given."""
        span = FrameSpan(self._start, self.sampling.chunk_frames)
        hook = self.memory.open(self.progress.chunk, self.prompt.keys, self.progress.text_known)
        self.cache.layout.end = span.start + span.frames
        if x0 is None:
            x0, hook = self._denoise(span, hook), None
        self._context_pass(x0, span, hook)
        return x0

    def _denoise(self, span: FrameSpan, hook: LayerHook | None) -> Tensor:
        draw, steps = self.noise.chunk(self.progress.chunk), len(self.timesteps)
        x, *renoise = draws_on(self.device, draw, self._chunk_size, steps)
        for step, timestep in enumerate(self.timesteps):
            flow = self._forward(
                ForwardPass("denoise", self.progress.chunk, step), x, timestep, span, hook if step == 0 else None
            )
            x0 = self._flow.x0(x, flow, timestep)
            if step == 0:
                self._settle_memory()
            if step + 1 < steps:
                x = self._flow.add_noise(x0, renoise[step], self.timesteps[step + 1])
        return x0

    def _context_pass(self, x0: Tensor, span: FrameSpan, hook: LayerHook | None) -> None:
        """Leave the finished chunk's keys and values in the cache, and offer its first frame to the bank."""
        if self._published and len(self.timesteps) == 1 and self.memory_config.record == "interval":
            # the published multi-prompt program updates its bank again here when there is only one step
            self.memory.update(self.progress.chunk, self.prompt.keys, text_known=True)
        timestep = self.sampling.context_noise
        self._forward(ForwardPass("context", self.progress.chunk), x0, timestep, span, hook)
        self._settle_memory()
        self.ledger.wrote(KVWrite("context", span, self.prompt.spoken, timestep), x0)
        self.memory.record(self.progress.chunk, span.start, self.prompt.keys)

    def _forward(
        self, forward: ForwardPass, x: Tensor, timestep: float, span: FrameSpan, hook: LayerHook | None = None
    ) -> Tensor:
        self.announce(forward)
        meter = self.meter if forward.kind == "denoise" and forward.step == 0 else None
        self.attention.begin(span, hook, meter, draft=forward.kind == "denoise")
        # what only has to leave keys may end with them, unless a layer's queries are asked for
        run = self.backbone if forward.kind == "denoise" or hook is not None else self.backbone.write
        flow = run(x, timestep, self.prompt.kv, self.attention)
        if meter is not None:
            self.trace.add("share", forward.chunk, **dict(zip(KINDS, meter.take().unbind(), strict=True)))
        if self.attention.activation:
            self.trace.add(
                "activate",
                forward.chunk,
                kind=forward.kind,
                step=forward.step,
                frames=self.attention.activated_frames(),
            )
        return flow

    def announce(self, forward: ForwardPass) -> None:
        """Tell of a pass that is about to run; it is counted with the next chunk."""
        if self.on_forward is not None:
            self.on_forward(forward)
        self._forwards.append(forward)

    def _settle_memory(self) -> None:
        self.progress.text_known = True
        self.memory.settle()

    # -- prompt changes -------------------------------------------------------------------------------------------

    def _apply_change(self) -> None:
        """At a chunk boundary: take up a waiting prompt, and let memory meet the prompt of the coming chunk."""
        change, self.waiting = self.waiting, None
        previous = self.prompt
        if change is not None:
            self._take_up(change, previous)
        self._step_blend()
        switched = change is not None and previous is not None
        if switched and change.switch == "cut":
            self.memory.cut(self.progress.chunk, self.prompt.keys)
        self.memory.meet(self.progress.chunk, self._start, self.prompt.keys)
        if switched:
            self._switch(change.switch)

    def _take_up(self, change: PromptChange, previous: Prompt | None) -> None:
        self.take_up_prompt(change.text, self.progress.prompts)
        if change.switch == "blend" and previous is not None:
            blend = TextBlend(previous.spoken, change.blend_chunks, change.blend_path)
            self.prompt = replace(self.prompt, blend=blend)
        self.progress.prompts += 1
        self.noise = change.noise or self.noise
        self.memory.recall(self.progress.chunk, change.recall)

    def take_up_prompt(self, text: Tensor, number: int) -> None:
        """Make `text` the prompt of the coming chunk, with no switch. For `set_prompt` and for resuming."""
        self.prompt = Prompt.of(number, text.to(self.device).expand(self.shape.batch, -1, -1), self.backbone)

    def take_up_blend(self, blend: TextBlend) -> None:
        """Speak the step that a blend towards the prompt has reached."""
        self.prompt = self.prompt.reached(blend, self.backbone)

    def _step_blend(self) -> None:
        if self.prompt.blend is not None:
            blend = self.prompt.blend.step()
            self.take_up_blend(blend)
            self.trace.add("blend", self.progress.chunk, weight=blend.weight, path=blend.path)

    def _switch(self, kind: str) -> None:
        span = None
        if kind == "cut":
            self.cache.forget_window()
        elif kind == "recache":
            span = self._published_recache() if self._published else self._window_to_recache()
        recomputed = [] if span is None else list(range(span.start + span.unwritten, span.start + span.frames))
        self.trace.add("switch", self.progress.chunk, kind=kind, recomputed=recomputed)
        if span is not None:
            x = torch.cat(tuple(self.progress.recent), dim=2)[:, :, -span.frames :]
            self._forward(ForwardPass("recache", self.progress.chunk), x, 0.0, span)
            self.ledger.wrote(KVWrite("recache", span, self.prompt.spoken), x)

    def _window_to_recache(self) -> FrameSpan | None:
        """The window's frames that the coming chunk will still see; the sink is never touched."""
        at = self.cache.layout
        first = at.first_seen_after(self.sampling.chunk_frames)
        return FrameSpan(first, at.end - first) if first < at.end else None

    def _published_recache(self) -> FrameSpan | None:
        self.progress.text_known = False
        if not self.memory_config.global_sink:
            self.cache.zero_window()
            self.ledger.forget_standing()
        span = published_span(self.cache.layout)
        if span is not None:
            self.memory.update(self.progress.chunk, self.prompt.keys, text_known=False)
        return span

    def _keep_recent(self, latents: Tensor) -> None:
        at, recent = self.cache.layout, self.progress.recent
        recent.append(latents)
        while (len(recent) - 1) * self.sampling.chunk_frames >= at.sink_slots + at.window_slots:
            recent.popleft()

    def settle_ledger(self) -> None:
        """Keep the latents and prompts behind what sink, window and bank hold, and no others."""
        self.ledger.settle(self.cache.layout, self.memory.copied)
