"""Passes of a stream through its model: announced before they run, counted, and left in the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..attention import AttentionPass
from ..memory import KINDS, FrameSpan, LayerHook
from ..model import ControlInput
from .chunk import ForwardPass
from .prompt import Prompt

if TYPE_CHECKING:
    from .stream import Stream


class Passes:
    """The passes of one stream.

    made  those since the last chunk was finished.
    """

    def __init__(self, stream: Stream):
        self._stream = stream
        self.made: list[ForwardPass] = []

    def announce(self, forward: ForwardPass) -> None:
        """Call `on_forward` for a pass that is about to run; it is counted with the next chunk."""
        if self._stream.on_forward is not None:
            self._stream.on_forward(forward)
        self.made.append(forward)

    def predict(
        self,
        forward: ForwardPass,
        prompt: Prompt,
        x: Tensor,
        timestep: float,
        span: FrameSpan,
        hook: LayerHook | None,
        *,
        control: ControlInput | None = None,
        first: bool = False,
    ) -> Tensor:
        """A denoising pass over x [B, C, F, h, w]; returns the flow, alike. first: whether it is the chunk's first."""
        if first:
            self._ask(prompt, x, timestep, span, control)
        self.announce(forward)
        stream = self._stream
        meter = stream.meter if first else None
        attend = stream.attention.begin(span, before_layer=hook, observer=meter, draft=True)
        # a backbone of another's making may know no control
        steered = () if control is None else (control,)
        flow = stream.backbone(x, timestep, prompt.kv, attend, *steered)
        if meter is not None and (shares := meter.take()) is not None:
            measured, even = stream.cache.share.mean(shares)
            stream.trace.add("share", forward.chunk, **dict(zip(KINDS, measured, strict=True)), even=even)
        self._trace_choices(forward, attend)
        return flow

    def write(
        self,
        forward: ForwardPass,
        prompt: Prompt,
        x: Tensor,
        timestep: float,
        span: FrameSpan,
        hook: LayerHook | None = None,
    ) -> None:
        """A pass over x [B, C, frames, h, w] for the keys and values that it leaves in the cache."""
        if forward.kind == "context":
            # a chunk that is given has no other first pass
            self._ask(prompt, x, timestep, span, None)
        self.announce(forward)
        stream = self._stream
        attend = stream.attention.begin(span, before_layer=hook)
        # such a pass may end with the last layer's keys, unless a layer's queries are asked for
        run = stream.backbone.write if hook is None else stream.backbone
        run(x, timestep, prompt.kv, attend)
        self._trace_choices(forward, attend)

    def _ask(self, prompt: Prompt, x: Tensor, timestep: float, span: FrameSpan, control: ControlInput | None) -> None:
        """Where memory chooses by the coming chunk's queries, make a pass like its first one for these alone."""
        stream, chunk = self._stream, self._stream.progress.chunk
        question = stream.memory.question(chunk, prompt.keys)
        if question is None:
            return
        self.announce(ForwardPass("ask", chunk))
        attend = stream.attention.begin(span, before_layer=question, draft=True)
        steered = () if control is None else (control,)
        stream.backbone(x, timestep, prompt.kv, attend, *steered)
        stream.memory.answer(chunk, prompt.keys)

    def _trace_choices(self, forward: ForwardPass, attend: AttentionPass) -> None:
        if attend.activation:
            frames = attend.activated_frames()
            self._stream.trace.add("activate", forward.chunk, kind=forward.kind, step=forward.step, frames=frames)
