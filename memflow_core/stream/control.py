"""Control of a stream: what steers a chunk while it is denoised.

A source gives each chunk its control, or none. It steers denoising alone: a chunk's keys and values are written from
its clean latents as ever, so cache, bank and provenance hold nothing of it, and a recache needs none of its pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ..memory import StateDict
from ..model import ControlInput, TextKV

if TYPE_CHECKING:
    from .prompt import Prompt
    from .stream import Stream

CONTROL = "control."  # prefix of the tensors of a control in a state


@dataclass(frozen=True)
class ChunkControl:
    """What steers a chunk of F latent frames.

    context         [B, C, F, h, w] floating point, C as `model.control_channels` says, on any device; None: the control
                    branch does nothing.
    strengths       a factor of its hints for each latent frame, 0 or more.
    start           latents [B, C, F, h, w] in the model's latent space that the chunk is made from, instead of noise
                    alone; None: noise alone.
    start_strength  how much of them stays, from 0 (nothing: all steps) to 1 (the last step alone).
    """

    context: Tensor | None
    strengths: tuple[float, ...]
    start: Tensor | None = None
    start_strength: float = 0.0


@dataclass(frozen=True)
class Steered:
    """How a chunk is denoised.

    control  what its passes are given; None: nothing.
    start    latents [B, C, F, h, w] that it begins from, noised to step `first`; None: noise, at step 0.
    """

    control: ControlInput | None = None
    start: Tensor | None = None
    first: int = 0


@dataclass(frozen=True)
class ControlPart:
    """What steers a stretch of a story, as far as it decides numbers.

    start_px, end_px  its first video frame, and the one after its last; None: no end is set.
    identity          what tells its pictures and their encoder from others; "" where nothing does.
    """

    start_px: int
    end_px: int | None
    strength: float
    identity: str


class ControlSource(Protocol):
    """Control of a story, chunk by chunk."""

    @property
    def parts(self) -> tuple[ControlPart, ...]:
        """All that it steers by, in the order of the story."""
        ...

    @property
    def steers(self) -> bool:
        """Whether it needs a control branch: not where it only gives what chunks are made from."""
        ...

    def of_chunk(self, index: int) -> ChunkControl | None:
        """Control of the chunk of this number, which is about to be made; None: nothing steers it."""
        ...

    def state_dict(self, index: int) -> dict[str, Tensor]:
        """What it must carry over to the chunk of this number, the coming one: tensors by name, views among them."""
        ...

    def load_state_dict(self, index: int, state: dict[str, Tensor]) -> None:
        """Go on with that chunk from a `state_dict`; an empty one carries nothing over.

        Raises ValueError for one of another source.
        """
        ...


class Steering:
    """A stream's control, with its prompt's keys and values for the control branch, which are made where needed."""

    def __init__(self, stream: Stream):
        self._stream = stream
        self._source: ControlSource | None = None
        self._text: tuple[Tensor, list[TextKV]] | None = None
        # of a state: the coming chunk there, and what a source carries over to it
        self._carried: tuple[int, dict[str, Tensor]] = (0, {})

    @property
    def source(self) -> ControlSource | None:
        return self._source

    @source.setter
    def source(self, source: ControlSource | None) -> None:
        if source is not None:
            if source.steers and self._stream.backbone.control is None:
                raise ValueError("the model has no control weights: load them beside it.")
            if source.steers and not self._stream.backbone.share.alone:
                raise ValueError("a control cannot steer a stream that several processes share: use one.")
            self._hand_over(source)
        self._source = source

    def of_chunk(self, index: int, prompt: Prompt) -> Steered:
        """How a chunk is denoised."""
        given = None if self._source is None else self._source.of_chunk(index)
        if given is None:
            self._text = None
            return Steered()
        first = self._stream.sampling.first_step(self._stream.story_chunk, given.start_strength)
        start = None if given.start is None or not first else given.start.to(self._stream.device, torch.float32)
        return Steered(self._input(given, prompt), start, first if start is not None else 0)

    def _input(self, given: ChunkControl, prompt: Prompt) -> ControlInput | None:
        if given.context is None or not any(given.strengths):
            return None
        # the prompt's other keys are not held: they are replaced at the next change
        if self._text is None or self._text[0] is not prompt.spoken:
            self._text = (prompt.spoken, self._stream.backbone.embed_control_text(prompt.spoken))
        return ControlInput(given.context.to(self._stream.device), given.strengths, self._text[1])

    def state_dict(self) -> StateDict:
        """What is carried over to the coming chunk, by names of the state file; nothing behind one without control."""
        index = self._stream.progress.chunk
        if self._source is not None:
            carried = self._source.state_dict(index)
        else:
            carried = self._carried[1] if self._carried[0] == index else {}
        return StateDict({f"{CONTROL}{name}": tensor for name, tensor in carried.items()})

    def load_state_dict(self, state: StateDict) -> None:
        """Go on from a state; a source that is set later takes it up, too."""
        carried = {name.removeprefix(CONTROL): t for name, t in state.tensors.items() if name.startswith(CONTROL)}
        self._carried = (self._stream.progress.chunk, carried)
        if self._source is not None:
            self._hand_over(self._source)

    def _hand_over(self, source: ControlSource) -> None:
        index, carried = self._carried
        if carried and index == self._stream.progress.chunk:
            source.load_state_dict(index, carried)
