"""Play stories up to the return of their subject, and the return under other banks, all from the very same state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from memflow_core.config import MemoryConfig
from memflow_core.model import Backbone
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream

from .banks import AtFirstRead, BankCopy, empty_bank, put_bank, take_bank
from .models import Pictures, StoryModel
from .stories import ProtocolStory

FRAMES = 8  # pictures of a segment that are looked at, evenly out of its second half


@dataclass
class Played:
    """A story up to its return.

    met, absent  pictures float32 [n, H, W, 3] of its subject's first segment, and of those without it.
    returned     pictures of the return, by bank.
    bank         its own, as the return reads it.
    """

    story: ProtocolStory
    texts: list[Tensor]
    state: StreamState
    decoder: object
    met: Tensor
    absent: Tensor | None
    returned: dict[str, Tensor] = field(default_factory=dict)
    bank: BankCopy | None = None


def play_until_return(
    model: StoryModel, backbone: Backbone, story: ProtocolStory, texts: list[Tensor], memory: MemoryConfig, seed: int
) -> Played:
    """Make all segments before the return. texts: of all prompts."""
    plan, pictures = story.plan, model.pictures()
    stream = Stream(
        backbone,
        model.shape,
        memory=memory,
        sampling=model.sampling,
        seed=seed,
        frames=plan.chunks * model.sampling.chunk_frames,
        device=model.device,
    )
    shown = {}
    for number in range(story.back):
        seen = _play_segment(stream, story, number, texts, pictures)
        if number == story.meet or number in story.absent:
            shown[number] = seen
    absent = [shown[number] for number in story.absent]
    return Played(
        story,
        texts,
        capture(stream),
        pictures.state(),
        shown[story.meet],
        torch.cat(absent) if absent else None,
    )


def play_return(
    model: StoryModel, backbone: Backbone, played: Played, bank: str, other: BankCopy | None = None
) -> None:
    """Make the return with a bank: `own`, which is copied on the way, `none`, or `swapped` for another story's."""
    acts: dict[str, Callable[[Stream], None]] = {
        "own": lambda stream: setattr(played, "bank", take_bank(stream)),
        "none": empty_bank,
        "swapped": lambda stream: put_bank(stream, _there(other)),
    }
    first = AtFirstRead(played.story.plan.segments[played.story.back].start_chunk, acts[bank])
    stream = resume(played.state, backbone, device=model.device, on_forward=first)
    first.stream = stream
    pictures = model.pictures()
    pictures.restore(played.decoder)
    played.returned[bank] = _play_segment(stream, played.story, played.story.back, played.texts, pictures)
    assert first.done, "a chunk is denoised"


def _there(bank: BankCopy | None) -> BankCopy:
    assert bank is not None, "of a story whose own return was made"
    return bank


def _play_segment(stream: Stream, story: ProtocolStory, number: int, texts: list[Tensor], pictures: Pictures) -> Tensor:
    """Make a segment. Returns pictures out of its second half."""
    segment = story.plan.segments[number]
    if segment.blend_chunks:
        raise ValueError("a list of stories has no blends")
    stream.set_prompt(texts[number], segment.switch)
    stream.look_ahead(texts[number + 1 :])
    made = [pictures.decode(next(stream).latents) for _ in range(segment.start_chunk, segment.end_chunk)]
    frames = torch.cat(made[len(made) // 2 :])
    return frames[torch.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).long()]
