"""Frames of the bank read anew, and the bank chosen anew from the archive at a prompt change.

A retrieval policy drops frames for good; an archive makes that reversible. What a prompt asked for stays in the bank
until the next change, as a pin does; the policy decides about the places that are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from ..config import MemoryConfig
from .archive import Archive, Moments
from .bank import MemoryBank
from .frame_kv import Candidate, FrameKV
from .kin import Kin
from .prompt_keys import PromptKeys
from .question import Question
from .state_dict import StateDict
from .trace import Trace

GB = 2**30
MOST_TRACED = 64  # archived frames whose scores a decision leaves in the trace


class Recollection:
    """Reads frames anew, and fills a bank from the archive.

    archive  every recorded frame; empty where the settings keep none.
    asks     whether it is chosen by the coming chunk's queries, in a pass that is made for them.
    due      whether the bank is chosen anew before the coming chunk.
    chosen   int64 [B, n]: the frames that the current prompt asked for, by batch item.
    """

    def __init__(self, bank: MemoryBank, config: MemoryConfig, *, moments: Moments, trace: Trace):
        self.bank = bank
        self.moments = moments
        self.trace = trace
        room = int(config.archive_gb * GB) if config.archive == "keys" else 0
        self.archive = Archive(config.archive_rule, room=room)
        self.reads_alone = config.bank_keys == "alone"
        self.has_archive = config.archive != "off"
        self.asks = self.has_archive and config.archive_rule == "attention"
        self._read_in = range(bank.cache.layers) if config.bank_layers is None else config.bank_layers
        self._question: Question | None = None
        self.due = False
        self.chosen = torch.zeros(bank.cache.batch, 0, dtype=torch.int64, device=bank.cache.device)

    # -- single frames ------------------------------------------------------------------------------------------------

    def record(self, frame: int, prompt: int) -> None:
        """Put a frame of sink or window into the archive."""
        cache = self.bank.cache
        if self.has_archive and cache.layout.holds(frame):
            kv = self.bank.view_frame(frame)
            self.archive.add(frame, prompt, kv.mean_k, cache.share)
            self.archive.keep_made(frame, kv, cache.frame_bytes)

    def with_keys(self, candidate: Candidate) -> Candidate:
        """The candidate with keys and values of its own: those it has, copied ones, or ones made anew."""
        if candidate.kv is not None:
            return candidate
        if self.reads_alone:
            kv = self.bank.borrow(self._read_alone(candidate.frame))
        else:
            kv = self.bank.copy_frame(candidate.frame)
        return Candidate(candidate.frame, candidate.prompt, kv)

    def keep(self, frame: int, prompt: int, device: torch.device) -> Candidate:
        """A frame for the store of named pins, read anew; it stands in the archive from now on."""
        self.record(frame, prompt)
        kv = self._read_alone(frame).copy(device)
        return Candidate(frame, self.archive.prompts.get(frame, prompt), kv)

    def _read_alone(self, frame: int) -> FrameKV:
        ((_, kv),) = self.moments.read_alone([frame])
        return kv

    def ban(self, chunk: int, frame: int) -> None:
        """Never recall a frame again. Raises ValueError for one that is not in the archive."""
        if frame not in self.archive.prompts:
            raise ValueError(f"latent frame {frame} is not in the archive, so it cannot be banned.")
        self.archive.banned.add(frame)
        self.due = True
        self.trace.add("ban", chunk, frame=frame)

    def forget(self) -> None:
        """Empty the archive."""
        self.archive = Archive(self.archive.rule, room=self.archive.room)
        self.chosen = self.chosen[:, :0]

    # -- the bank as a whole ------------------------------------------------------------------------------------------

    def leaves_room(self, frame: int, protected: Collection[int]) -> bool:
        """Whether a frame that leaves the window has a chance to enter beside what the prompt asked for."""
        if frame in self.archive.banned:
            return False
        # a place that is kept for a pin to come may be used until then
        taken = min(self.bank.cache.layout.bank, self.chosen.shape[1] + len(protected))
        return not self.has_archive or frame in protected or taken < self.bank.slots

    def asked_for(self, frames: Tensor) -> Tensor:
        """Which of frames [layers, B, n] the current prompt asked for, bool alike."""
        return (frames[..., None] == self.chosen[None, :, None]).any(dim=-1)

    def question(self, has_left: Callable[[int], bool]) -> Question | None:
        """What a pass is to be asked before the bank is chosen; None where the rule asks nothing, or of nothing.

        has_left  says whether a frame stands neither in sink nor window.
        """
        self._question = None
        if self.asks and self.due:
            kept = self.archive.keys
            frames = [frame for frame in kept if frame not in self.archive.banned and has_left(frame)]
            if frames:
                self._question = Question(self.bank.cache, frames, [kept[frame] for frame in frames], self._read_in)
        return self._question

    def refill(
        self,
        chunk: int,
        prompt: PromptKeys,
        may_return: Callable[[int], bool],
        *,
        pinned: Collection[int],
        reserved: int,
        kept: Mapping[int, Candidate],
    ) -> None:
        """Fill the bank with what is pinned, and with what the coming prompt asks for.

        may_return  says whether the coming chunk will not see a frame in sink or window.
        pinned      frames that stand in the bank in any case.
        reserved    places that are left free for other pins.
        kept        named pins by frame, whose keys are there.
        """
        archive, places = self.archive, self.bank.slots - len(pinned) - reserved
        free = [f for f in archive.prompts if f not in archive.banned and f not in pinned and may_return(f)]
        scores = self._scores(free, prompt)
        chosen = [
            archive.choose(free, of_item, places, self._kin(free, item, prompt)) for item, of_item in enumerate(scores)
        ]
        before = self.bank.listed_frames().clone()
        self._fill([[*sorted(pinned), *found] for found in chosen], kept)
        archive.note_asked({frame for found in chosen for frame in found})
        self.chosen = _table(chosen).to(self.bank.cache.device)
        self.due, self._question = False, None
        self.trace.add(
            "choose",
            chunk,
            rule=archive.rule,
            archived=len(archive.prompts),
            **_best(free, scores, archive.prompts),
            first_layer=0,
            before=before,
            after=self.bank.listed_frames(),
        )

    def _scores(self, frames: list[int], prompt: PromptKeys) -> list[list[float]]:
        """Scores [B][frames] of archived frames for the coming prompt."""
        if not frames:
            return [[] for _ in range(self.bank.cache.batch)]
        if self._question is not None:
            return [[shares[frame] for frame in frames] for shares in self._question.shares()]
        items = range(self.bank.cache.batch)
        return [self.archive.scores(frames, item, coming=prompt, text=self.moments.text) for item in items]

    def _kin(self, frames: list[int], item: int, prompt: PromptKeys) -> Kin | None:
        return self.archive.kin(frames, item, coming=prompt, moments=self.moments) if frames else None

    def _fill(self, frames: list[list[int]], kept: Mapping[int, Candidate]) -> None:
        """Put frames, a list for each batch item, into the bank; those that are not there yet are as they were
        made, where that was kept, or read alone."""
        wanted = sorted({frame for row in frames for frame in row})
        numbers = {frame: candidate.prompt for frame, candidate in kept.items()} | self._standing_prompts()
        numbers |= self.archive.prompts
        held = {frame: self.bank.gather_frame(frame) for frame in wanted if self._stands(frame)}
        self.bank.assign(_table(frames), _table([[numbers[frame] for frame in row] for row in frames]))
        missing = []
        for frame in wanted:
            stored = held.get(frame) or (kept[frame].copied if frame in kept else self.archive.made.get(frame))
            if stored is None:
                missing.append(frame)
            else:
                self.bank.put(frame, stored)
        for frame, kv in self.moments.read_alone(missing):
            self.bank.put(frame, kv)
            del kv  # the next pass needs its room

    def _stands(self, frame: int) -> bool:
        return self.bank.cache.layout.bank > 0 and self.bank.holds(frame)

    def _standing_prompts(self) -> dict[int, int]:
        frames, prompts = (x.flatten().tolist() for x in (self.bank.listed_frames(), self.bank.listed_prompts()))
        return dict(zip(frames, prompts, strict=True))

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """The archive and what was chosen from it; nothing where the settings keep no archive."""
        if not self.has_archive:
            return StateDict()
        state = self.archive.state_dict()
        state.meta["chosen"] = self.chosen.tolist()
        state.meta["choice_due"] = self.due
        return state

    def load_state_dict(self, state: StateDict) -> None:
        """Read back what `state_dict` gave."""
        if not self.has_archive:
            return
        self.archive.load_state_dict(state)
        self.chosen = _table(state.meta["chosen"]).to(self.bank.cache.device)
        self.due = state.meta["choice_due"]


def _best(frames: list[int], scores: list[list[float]], shots: Mapping[int, int]) -> dict[str, list]:
    """The frames that scored best for any batch item, with their scores [B][n]: a trace must not grow with its square.

    The best of each shot come before the second of any, so that who reads the trace sees everybody.

    frames  oldest first, with scores [B][frames].
    shots   number of the prompt that each frame was made under.
    """
    best = [max(row[place] for row in scores) for place in range(len(frames))]
    seen: Counter[int] = Counter()
    turns: list[tuple[int, float, int]] = []
    # of equals the newest first: there a character has arrived
    for place in sorted(range(len(frames)), key=lambda place: (-best[place], -place)):
        shot = shots[frames[place]]
        turns.append((seen[shot], -best[place], place))
        seen[shot] += 1
    places = sorted((place for *_, place in sorted(turns)[:MOST_TRACED]), key=lambda place: -best[place])
    return {
        "frames": [frames[place] for place in places],
        "scores": [[row[place] for place in places] for row in scores],
    }


def _table(rows: list[list[int]]) -> Tensor:
    """Rows of one length as int64 [B, n]."""
    return torch.tensor(rows, dtype=torch.int64)
