"""Archive of a stream: every frame that was ever recorded, so that what the bank dropped can come back.

Keys and values of a frame that is recalled are those it was made with, as far as there is room to keep them, or made
anew by reading its clean latents alone. Latents and prompts are kept by the stream's provenance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..config import RULES_BY_KEYS
from ..model import HeadShare
from . import recall
from .frame_kv import FrameKV
from .kin import Kin, look_of
from .prompt_keys import PromptKeys
from .state_dict import StateDict

MADE = "archived."  # prefix of the tensors of keys and values in a state


class Moments(Protocol):
    """What a stream knows of frames that it made or was given."""

    def read_alone(self, frames: Sequence[int]) -> Iterable[tuple[int, FrameKV]]:
        """Make frames' keys and values anew from their latents, reading each alone; they come in any order."""
        ...

    def text(self, frame: int) -> Tensor:
        """The embedding [B, length, text_dim] that a frame was made under."""
        ...

    def latents(self, frame: int) -> Tensor:
        """A frame's clean latents, [B, C, h, w]."""
        ...


@dataclass
class Archive:
    """Recorded frames, oldest first.

    rule     one of ARCHIVE_RULES, which they are chosen by.
    prompts  number of the prompt that each frame was made under.
    keys     mean key of each when it was made, [layers, B, heads, head_dim] float32 on the CPU; for rules by keys
             alone. All heads of the model, also where several processes share them.
    banned   frames that are never recalled.
    room     bytes for keys and values in RAM, those of all heads of the model; 0 keeps none.
    made     keys and values as they were made, on the CPU, of this process's own heads, by frame.
    asked    how often a prompt has asked for each frame.
    looks    what each frame's picture looks like, [B, numbers] float32, as far as it was asked for; made anew after a
             state was loaded.
    """

    rule: str
    prompts: dict[int, int] = field(default_factory=dict)
    keys: dict[int, Tensor] = field(default_factory=dict)
    banned: set[int] = field(default_factory=set)
    room: int = 0
    made: dict[int, FrameKV] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    looks: dict[int, Tensor] = field(default_factory=dict)

    def add(self, frame: int, prompt: int, mean_k: Tensor, share: HeadShare) -> None:
        """Keep a frame for good; one that is kept already stays as it is.

        mean_k  [layers, B, heads of share, head_dim].
        """
        if frame not in self.prompts:
            self.prompts[frame] = prompt
            if self.rule in RULES_BY_KEYS:
                (of_all,) = share.gather([mean_k], dim=2)
                # the cache's slot is written over later
                self.keys[frame] = of_all.to("cpu", torch.float32, copy=True)

    def keep_made(self, frame: int, kv: FrameKV, frame_bytes: int) -> None:
        """Keep an archived frame's keys and values as they are now, where there is room for any.

        What was asked for least makes room, and of that the oldest: it is read anew when it is recalled.
        """
        if not self.room or frame in self.made:
            return
        most = self.room // frame_bytes
        # room is made first, so that there is never more than that
        while self.made and len(self.made) >= most:
            least = min((*self.made, frame), key=lambda kept: (self.asked.get(kept, 0), kept))
            if least == frame:
                return
            del self.made[least]
        if most:
            self.made[frame] = kv.copy(torch.device("cpu"))

    def note_asked(self, frames: Iterable[int]) -> None:
        """Count that a prompt has asked for frames."""
        for frame in frames:
            self.asked[frame] = self.asked.get(frame, 0) + 1

    def scores(
        self, frames: Sequence[int], item: int, *, coming: PromptKeys, text: Callable[[int], Tensor]
    ) -> list[float]:
        """Score frames for the coming prompt of one batch item.

        text  gives the embedding [B, length, text_dim] of a frame.
        """
        if self.rule == "keys":
            stored = torch.stack([self.keys[frame][:, item] for frame in frames])
            return recall.keys(coming.own_k[:, item].cpu(), stored).tolist()
        past = {shot: text[item].cpu() for shot, text in self._texts(frames, text).items()}
        score = recall.words if self.rule == "words" else recall.similarity
        by_prompt = dict(zip(past, score(coming.text[item].cpu(), list(past.values())).tolist(), strict=True))
        return [by_prompt[self.prompts[frame]] for frame in frames]

    def kin(self, frames: Sequence[int], item: int, *, coming: PromptKeys, moments: Moments) -> Kin:
        """What prompts and pictures of frames, at least one, say of one another, for one batch item."""
        texts = self._texts(frames, moments.text)
        of_shot: dict[int, list[Tensor]] = {shot: [] for shot in texts}
        for frame in frames:
            if frame not in self.looks:
                self.looks[frame] = torch.stack([look_of(latents) for latents in moments.latents(frame).cpu()])
            of_shot[self.prompts[frame]].append(self.looks[frame][item])
        return Kin(
            coming.text[item].cpu(),
            {shot: text[item].cpu() for shot, text in texts.items()},
            {shot: torch.stack(looks).mean(0) for shot, looks in of_shot.items()},
        )

    def choose(self, frames: Sequence[int], scores: Sequence[float], places: int, kin: Kin | None = None) -> list[int]:
        """Choose at most `places` of some frames by their scores, and by what is said of their shots."""
        chosen = recall.choose(scores, [self.prompts[frame] for frame in frames], places, kin)
        return [frames[index] for index in chosen]

    def _texts(self, frames: Sequence[int], text: Callable[[int], Tensor]) -> dict[int, Tensor]:
        """The embedding [B, length, text_dim] of each shot that frames are of, oldest first."""
        first_of = {self.prompts[frame]: frame for frame in reversed(frames)}
        return {shot: text(frame) for shot, frame in first_of.items()}

    def state_dict(self) -> StateDict:
        """Frames with their prompts, bans, mean keys where the rule reads them, and what is kept as it was made."""
        meta: dict[str, Any] = {
            "archive": [list(entry) for entry in self.prompts.items()],
            "banned": sorted(self.banned),
        }
        state = StateDict({"archive.keys": torch.stack(list(self.keys.values()))} if self.keys else {}, meta)
        if self.room:
            meta["archived_keys"] = list(self.made)
            meta["archive_asked"] = [list(entry) for entry in self.asked.items()]
            for number, kv in enumerate(self.made.values()):
                state.tensors |= {f"{MADE}{number}.{name}": part for name, part in kv.parts.items()}
        return state

    def load_state_dict(self, state: StateDict) -> None:
        """Read back what `state_dict` gave."""
        self.prompts = dict(state.meta["archive"])
        keys = state.tensors["archive.keys"].unbind() if self.prompts and self.rule in RULES_BY_KEYS else ()
        self.keys = dict(zip(self.prompts, keys, strict=False))
        self.banned = set(state.meta["banned"])
        if self.room:
            self.asked = dict(state.meta["archive_asked"])
            self.made = {}
            for number, frame in enumerate(state.meta["archived_keys"]):
                start = f"{MADE}{number}."
                parts = {n.removeprefix(start): part for n, part in state.tensors.items() if n.startswith(start)}
                self.made[frame] = FrameKV(**parts).copy(torch.device("cpu"))
