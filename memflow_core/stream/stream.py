"""Chunk loop: one `next()` is one finished chunk.

A chunk is denoised in a few steps against the KV cache, then passes through the model once more, clean, to leave its
keys and values for the chunks to come (the context pass). Before it starts, the memory bank is updated for its prompt,
which may change there. (Section 3.1 of arXiv 2512.14699.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..attention import AttentionShareMeter, MemoryAttention
from ..config import LatentShape, MemoryConfig, SamplingConfig, check_fit, check_switch, stream_positions
from ..memory import (
    FrameSpan,
    KVProvenance,
    KVWrite,
    LayerHook,
    MemoryPolicy,
    Trace,
    fold_into_sink,
    make_memory,
)
from ..model import Backbone
from .chunk import Chunk, ForwardPass
from .control import ControlSource, Steering
from .denoise import Denoiser
from .look_ahead import LookAhead
from .moments import StreamMoments
from .noise import Noise, NoiseAhead, SeededNoise
from .parts import check_given, check_reach, make_attention, make_cache
from .passes import Passes
from .progress import Progress
from .prompt import Prompt, PromptChange, TextBlend, check_embedding, check_forgotten
from .refresh import refresh_keys


class Stream:
    """An endless iterator of `Chunk`s.

    backbone    the model.
    shape       batch and latent size.
    memory      memory settings; None: the defaults.
    sampling    sampling settings; None: the defaults.
    seed        of the stream's noise.
    noise       any other source of noise, in place of the seed.
    frames      latent frames that will be asked for, if known: decides `positions="auto"`.
    device      where the stream computes; None: where the model's weights are. To be named where weights are moved.
    on_forward  called before every pass; may raise to stop, which ends the stream.
    positions   `absolute` or `relative` where that is settled already; else the memory settings decide.
    pin_device  where keys and values of named pins wait, a latent frame's of all layers for each; None: `device`.

    prompt      the current prompt, with its blend while one lasts; None before the first chunk.
    waiting     the prompt change that takes effect at the next chunk.
    meter       set it to have the trace hold how each chunk's first step shares its attention out.
    control     set it to have a source steer the chunks that are made; the model must have control weights.

    Raises ValueError for settings that do not fit together, and from `next()` if no prompt was set.
    """

    def __init__(
        self,
        backbone: Backbone,
        shape: LatentShape,
        *,
        memory: MemoryConfig | None = None,
        sampling: SamplingConfig | None = None,
        seed: int = 0,
        noise: Noise | None = None,
        frames: int | None = None,
        device: torch.device | str | None = None,
        on_forward: Callable[[ForwardPass], None] | None = None,
        positions: str | None = None,
        pin_device: torch.device | str | None = None,
    ):
        self.backbone = backbone
        self.shape = shape
        self.device = torch.device(backbone.tree.patch_embedding.weight.device if device is None else device)
        self.memory_config = memory or MemoryConfig()
        self.sampling = sampling or SamplingConfig()
        check_fit(self.memory_config, self.sampling, backbone.layers)
        self.noise: Noise = SeededNoise(seed) if noise is None else noise
        self.positions = positions or stream_positions(self.memory_config, self.sampling, frames)
        self.on_forward = on_forward
        self.trace = Trace()
        self.provenance = KVProvenance()
        self.progress = Progress()
        self.prompt: Prompt | None = None
        self.waiting: PromptChange | None = None
        self.meter: AttentionShareMeter | None = None
        self.broken = False
        self._denoiser = Denoiser(self.sampling)
        self._passes = Passes(self)
        self.steering = Steering(self)
        self._ahead = LookAhead(self)
        self._finished = False
        self._chunk_size = (shape.batch, backbone.channels, self.sampling.chunk_frames, shape.rows, shape.columns)
        # pictures that are read before the first chunk have another size
        backbone.compile_for(self._chunk_size)
        self._noise_ahead = NoiseAhead(self.device, self._chunk_size)
        self.cache = make_cache(backbone, shape, self.memory_config, self.device)
        self.memory: MemoryPolicy = make_memory(
            self.cache,
            self.memory_config,
            trace=self.trace,
            chunk_frames=self.sampling.chunk_frames,
            pin_device=self.device if pin_device is None else torch.device(pin_device),
            moments=StreamMoments(self),
        )
        self.attention: MemoryAttention = make_attention(
            self.backbone,
            self.cache,
            shape=self.shape,
            memory=self.memory_config,
            sampling=self.sampling,
            relative=self.positions == "relative",
            reads_empty_sink=self.memory.reads_empty_sink,
        )

    @property
    def control(self) -> ControlSource | None:
        return self.steering.source

    @control.setter
    def control(self, source: ControlSource | None) -> None:
        self.steering.source = source

    # -- what a caller does between chunks ----------------------------------------------------------------------------

    def set_prompt(
        self,
        text: Tensor,
        switch: str = "recache",
        noise: int | Noise | None = None,
        *,
        blend_chunks: int = 4,
        blend_path: str = "linear",
        recall: Sequence[str] = (),
        weights: str = "",
    ) -> None:
        """Change the prompt from the next chunk on.

        text          [1 or B, length, text_dim], rows of zeros are padding.
        switch        recache: the window's keys are recomputed under the new prompt. soft: only the text changes.
                      cut: window and sink are forgotten, the bank stays. jump: positions move on by `shot_offset`, and
                      nothing is forgotten. fresh: window, sink, bank, archive and pins are forgotten, and positions
                      count from 0, as in a stream that begins there. blend: only the text changes, step by step over
                      `blend_chunks` chunks, the last of which has the new prompt alone; `blend_path` is `linear` or
                      `spherical`. A blend starts from the current text, an unfinished blend's included.
        noise         a new seed from here on.
        recall        names of pins that stand in the bank under this prompt.
        weights       name of the weights that the model has under this prompt, see `model.WeightSets`.

        Raises ValueError where any of these cannot be.
        """
        check_switch(switch, blend_chunks, blend_path)
        check_forgotten(switch, recall)
        self.check_text(text)
        self.memory.check_recall(recall)
        noise = SeededNoise(noise) if isinstance(noise, int) else noise
        self.waiting = PromptChange(text, switch, noise, blend_chunks, blend_path, tuple(recall), weights)

    @torch.inference_mode()
    def look_ahead(self, texts: Sequence[Tensor], weights: Sequence[str] = ()) -> None:
        """Tell memory what prompts come after the waiting or current one, nearest first; one that looks ahead keeps
        what they will ask for. To be called with every change of them: a state does not hold them.

        texts    embeddings [1 or B, length, text_dim].
        weights  names of the weights that the model has under each; none: its own under all.
        """
        if self.memory_config.look_ahead:
            self._ahead.tell(texts, weights or [""] * len(texts))

    def check_text(self, text: Tensor) -> None:
        """Raise ValueError unless the stream's model can read a prompt embedding [1 or B, length, text_dim]."""
        check_embedding(text, self.backbone.text_dim, self.shape.batch)

    @torch.inference_mode()
    def pin(self, frame: int, name: str | None = None) -> None:
        """Keep a latent frame; one that is not made yet is kept as soon as it is.

        Without a name it stands in the bank for good. With a name its keys and values are put aside, and it stands
        in the bank under prompts that `recall` it. Doing so twice changes nothing.

        Raises ValueError where it cannot be: nothing holds the frame any more, the name is another frame's, or the
        bank has no room.
        """
        if self.memory.pins.has(frame, name):
            return
        number = self.progress.prompts - 1 if self.prompt is None else self.prompt.keys.number
        self.memory.pin(self.progress.chunk, frame, name, self.upcoming, number)
        self.settle_provenance()

    def unpin(self, pin: int | str) -> None:
        """Take back the pin of a latent frame, or of a name; its frame is then one like any other.

        Raises ValueError if there is no such pin.
        """
        self.memory.unpin(self.progress.chunk, pin)
        if self.waiting is not None:
            self.waiting = replace(self.waiting, recall=tuple(name for name in self.waiting.recall if name != pin))
        self.settle_provenance()

    def ban(self, frame: int) -> None:
        """Never recall a latent frame again. Raises ValueError for one that is pinned or not in the archive."""
        self.memory.ban(self.progress.chunk, frame)

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
        """Take a chunk as given: its context pass alone writes it into memory, and counts with the next chunk made.

        latents  [B, C, F, h, w] in the model's latent space, F a chunk's latent frames. Raises ValueError for others.
        """
        check_given(latents, self._chunk_size)
        chunk = self._advance(latents.to(self.device, torch.float32))
        self._passes.made = list(chunk.forwards)
        return chunk

    # -- one chunk ----------------------------------------------------------------------------------------------------

    def _advance(self, given: Tensor | None = None) -> Chunk:
        if self.broken:
            raise RuntimeError("the last chunk was broken off inside; resume the stream from a saved state.")
        self._check_reach()
        self.broken = True
        prompt = self._apply_change()
        latents = self._make_chunk(prompt, given)
        # before anything waits for the chunk
        coming = self.progress.chunk + 1
        self._noise_ahead.prepare(self.noise, coming, self._denoiser.draws(coming))
        self.broken = False
        chunk = Chunk(
            index=self.progress.chunk,
            start=self._start,
            latents=latents,
            prompt=prompt.keys.number,
            forwards=tuple(self._passes.made),
            trace=self.trace.flush(),
        )
        self._passes.made = []
        self.progress.add(latents, self.cache.layout)
        self.settle_provenance()
        return chunk

    @property
    def _start(self) -> int:
        """First latent frame of the current chunk."""
        return self.progress.chunk * self.sampling.chunk_frames

    def _check_reach(self) -> None:
        if self.prompt is None and self.waiting is None:
            raise ValueError("the stream has no prompt: set one before the first chunk.")
        if self.positions == "absolute":
            switch = None if self.waiting is None else self.waiting.switch
            check_reach(self.cache.layout, self._start, self.sampling.chunk_frames, switch, self.memory_config)

    @property
    def story_chunk(self) -> int:
        """Number of the coming chunk within the present story, which begins anew at a fresh prompt."""
        return self.cache.layout.story_chunk(self.progress.chunk, self._start)

    def _make_chunk(self, prompt: Prompt, x0: Tensor | None) -> Tensor:
        """The coming chunk's clean latents [B, C, F, h, w]: denoised, unless they are given."""
        span = FrameSpan(self._start, self.sampling.chunk_frames)
        hook = self.memory.first_pass_hook(self.progress.chunk, prompt.keys)
        self.cache.layout.end = span.end
        if x0 is None:
            x0 = self._denoise(prompt, span, hook)
            hook = None
        self._context_pass(prompt, x0, span, hook)
        return x0

    def _denoise(self, prompt: Prompt, span: FrameSpan, hook: LayerHook | None) -> Tensor:
        chunk, denoiser = self.progress.chunk, self._denoiser
        steered = self.steering.of_chunk(chunk, prompt)

        def predict(step: int, timestep: float, x: Tensor) -> Tensor:
            forward = ForwardPass("denoise", chunk, step)
            first = step == steered.first
            flow = self._passes.predict(
                forward, prompt, x, timestep, span, hook if first else None, control=steered.control, first=first
            )
            if first:
                self.memory.after_first_pass()
            return flow

        place = self.story_chunk
        noise = self._noise_ahead.take(self.noise, chunk, denoiser.draws(place))
        return denoiser.run(place, noise, predict, steered.start, steered.first)

    def _context_pass(self, prompt: Prompt, x0: Tensor, span: FrameSpan, hook: LayerHook | None) -> None:
        """Leave the finished chunk's keys and values in the cache, and let memory record it."""
        chunk, timestep = self.progress.chunk, self.sampling.context_noise
        self.memory.before_context_pass(chunk, prompt.keys, len(self.sampling.steps_of(self.story_chunk)))
        self._passes.write(ForwardPass("context", chunk), prompt, x0, timestep, span, hook)
        self.memory.after_first_pass()
        self.provenance.add(KVWrite("context", span, prompt.spoken, timestep, weights=prompt.weights), x0)
        self.memory.after_chunk(chunk, span.start, prompt.keys)

    def announce(self, forward: ForwardPass) -> None:
        """Call `on_forward` for a pass that is about to run; it is counted with the next chunk."""
        self._passes.announce(forward)

    # -- prompt changes -----------------------------------------------------------------------------------------------

    def _apply_change(self) -> Prompt:
        """At a chunk boundary: take up a waiting prompt, and update memory for the prompt of the coming chunk."""
        change, previous = self.waiting, self.prompt
        self.waiting = None
        prompt = previous if change is None else self._take_up(change, previous)
        assert prompt is not None, "checked before the chunk"
        # pictures that were read since then had others
        self.backbone.use_weights(prompt.weights)
        self.prompt = prompt = self._step_blend(prompt)
        # a stream's first prompt is no switch: there are no keys yet
        switch = None if change is None or previous is None else change.switch
        if switch == "fresh":
            self.memory.on_fresh(self._start)
            self.cache.layout.begin_anew()
        if switch == "cut":
            self.memory.on_cut(self.progress.chunk, prompt.keys)
        if switch == "jump":
            self.cache.layout.jumps += (self._start,)
        if self.memory_config.sink == "average":
            fold_into_sink(self.cache, self.sampling.chunk_frames, self.memory_config.sink_decay)
        self.memory.before_chunk(self.progress.chunk, self._start, prompt.keys)
        if switch is not None:
            self._switch(switch, prompt)
        refresh_keys(self, prompt)
        return prompt

    def _take_up(self, change: PromptChange, previous: Prompt | None) -> Prompt:
        """The prompt of a change, with its blend still at the start."""
        text = change.text.to(self.device).expand(self.shape.batch, -1, -1)
        prompt = Prompt.of(self.progress.prompts, text, self.backbone, change.weights)
        if change.switch == "blend" and previous is not None:
            blend = TextBlend(previous.spoken, change.blend_chunks, change.blend_path)
            prompt = replace(prompt, blend=blend)
        self.progress.prompts += 1
        self.noise = change.noise or self.noise
        self.memory.on_prompt_change(self.progress.chunk, change.recall)
        return prompt

    def _step_blend(self, prompt: Prompt) -> Prompt:
        """Move an unfinished blend one chunk on."""
        if prompt.blend is None:
            return prompt
        blend = prompt.blend.step()
        self.trace.add("blend", self.progress.chunk, weight=blend.weight, path=blend.path)
        return prompt.at_step(blend, self.backbone)

    def _switch(self, kind: str, prompt: Prompt) -> None:
        """What a prompt change does to the keys of sink and window."""
        chunk, span = self.progress.chunk, None
        if kind == "cut":
            self.cache.forget_window()
        elif kind == "recache" and not self.sampling.refresh:
            span = self.memory.recache_span(chunk, prompt.keys, self.provenance)
        self.trace.add("switch", chunk, kind=kind, recomputed=[] if span is None else list(span.stored))
        if span is not None:
            x = self.progress.latents[:, :, -span.frames :]
            write = KVWrite("recache", span, prompt.spoken, self.sampling.context_noise, weights=prompt.weights)
            self._passes.write(ForwardPass("recache", chunk), prompt, x, write.timestep, span)
            self.provenance.add(write, x)

    def settle_provenance(self) -> None:
        """Keep the latents and prompts behind what sink, window and bank hold, and no others."""
        self.provenance.settle(self.cache.layout, self.memory.copied, alone=self.memory.reads_alone)
