"""Archive of a stream: every frame that was ever recorded, so that what the bank dropped can come back.

It holds no keys or values: these are made anew when a frame is recalled, by reading its clean latents alone. Latents
and prompts are kept by the stream's provenance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..model import HeadShare
from . import recall
from .frame_kv import FrameKV
from .prompt_keys import PromptKeys
from .state_dict import StateDict


class Moments(Protocol):
    """What a stream knows of frames that it made or was given."""

    def read_alone(self, frame: int) -> FrameKV:
        """Make a frame's keys and values anew from its latents, reading it alone, in one pass."""
        ...

    def text(self, frame: int) -> Tensor:
        """The embedding [B, length, text_dim] that a frame was made under."""
        ...


@dataclass
class Archive:
    """Recorded frames, oldest first.

    rule     one of ARCHIVE_RULES, which they are chosen by.
    prompts  number of the prompt that each frame was made under.
    keys     mean key of each when it was made, [layers, B, heads, head_dim] float32 on the CPU; rule `keys` alone. All
             heads of the model, also where several processes share them.
    banned   frames that are never recalled.
    """

    rule: str
    prompts: dict[int, int] = field(default_factory=dict)
    keys: dict[int, Tensor] = field(default_factory=dict)
    banned: set[int] = field(default_factory=set)

    def add(self, frame: int, prompt: int, mean_k: Tensor, share: HeadShare) -> None:
        """Keep a frame for good; one that is kept already stays as it is.

        mean_k  [layers, B, heads of share, head_dim].
        """
        if frame not in self.prompts:
            self.prompts[frame] = prompt
            if self.rule == "keys":
                (of_all,) = share.gather([mean_k], dim=2)
                # the cache's slot is written over later
                self.keys[frame] = of_all.to("cpu", torch.float32, copy=True)

    def scores(
        self, frames: Sequence[int], item: int, *, coming: PromptKeys, text: Callable[[int], Tensor]
    ) -> list[float]:
        """Score frames for the coming prompt of one batch item.

        text  gives the embedding [B, length, text_dim] of a frame.
        """
        if self.rule == "keys":
            stored = torch.stack([self.keys[frame][:, item] for frame in frames])
            return recall.keys(coming.own_k[:, item].cpu(), stored).tolist()
        first_of = {self.prompts[frame]: frame for frame in reversed(frames)}
        past = [text(frame)[item].cpu() for frame in first_of.values()]
        score = recall.words if self.rule == "words" else recall.similarity
        by_prompt = dict(zip(first_of, score(coming.text[item].cpu(), past).tolist(), strict=True))
        return [by_prompt[self.prompts[frame]] for frame in frames]

    def choose(
        self,
        frames: Sequence[int],
        places: int,
        item: int,
        *,
        coming: PromptKeys,
        text: Callable[[int], Tensor],
    ) -> tuple[list[int], list[float]]:
        """Choose at most `places` of some frames for one batch item. Returns (chosen, the scores of all)."""
        if not frames:
            return [], []
        scores = self.scores(frames, item, coming=coming, text=text)
        chosen = recall.choose(scores, [self.prompts[frame] for frame in frames], places)
        return [frames[index] for index in chosen], scores

    def state_dict(self) -> StateDict:
        """Frames with their prompts, bans, and mean keys where the rule reads them."""
        meta = {"archive": [list(entry) for entry in self.prompts.items()], "banned": sorted(self.banned)}
        return StateDict({"archive.keys": torch.stack(list(self.keys.values()))} if self.keys else {}, meta)

    def load_state_dict(self, state: StateDict) -> None:
        """Read back what `state_dict` gave."""
        self.prompts = dict(state.meta["archive"])
        keys = state.tensors["archive.keys"].unbind() if self.prompts and self.rule == "keys" else ()
        self.keys = dict(zip(self.prompts, keys, strict=False))
        self.banned = set(state.meta["banned"])
