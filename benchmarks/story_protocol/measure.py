"""Measure a list of stories, a pair at a time, and say what the bank was the cause of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from memflow_core.config import MemoryConfig

from .embedders import Embedder
from .models import StoryModel
from .play import Played, play_return, play_until_return
from .stories import ProtocolStory

BANKS = ("own", "none", "swapped")
# what decides a number; retrieval by attention, and that of the published code, choose within the pass
ALLOWED = ("prompt", "similarity", "fifo")

Results = dict[str, dict[str, Any]]
"""Records of stories, by their key."""


@dataclass(frozen=True)
class Settings:
    """What a run of the protocol is made with.

    embedder  its name.

    Raises ValueError for a memory whose bank cannot be exchanged.
    """

    memory: MemoryConfig
    seed: int
    embedder: str

    def __post_init__(self) -> None:
        if self.memory.retrieval not in ALLOWED or not self.memory.bank_slots:
            raise ValueError(
                f"memory retrieval is {self.memory.retrieval!r} with a bank of {self.memory.bank_frames}, but banks "
                f"are exchanged before a pass: choose {', '.join(ALLOWED)}, with at least 1 frame."
            )

    def to_json(self, model: StoryModel) -> dict[str, Any]:
        """All of it, with the model's own settings: runs of equal JSON may be put together."""
        own = {"model": model.name, "shape": asdict(model.shape), "sampling": asdict(model.sampling)}
        memory = asdict(self.memory)
        found = own | {"memory": memory, "seed": self.seed, "embedder": self.embedder}
        return _listed(found)


def measure(
    model: StoryModel,
    embedder: Embedder,
    stories: Sequence[ProtocolStory],
    settings: Settings,
    known: Results | None = None,
) -> Iterable[Results]:
    """Play stories in pairs of those that are cut alike, each of which has the other's bank for one of its returns.

    A story without a partner borrows that of the first of its group, or has no swapped bank where it is alone.

    known  records that are there: pairs of these are left out.

    Yields the records of each pair.
    """
    known = known or {}
    for pair, recorded in _pairs(stories):
        fresh = [story for story in recorded if story.key not in known]
        if not fresh:
            continue
        embeddings = {story.key: model.embed(story.prompts) for story in pair}
        with model.ready() as backbone:
            played = []
            for story in pair:
                one = play_until_return(
                    model, backbone, story, embeddings[story.key], settings.memory, settings.seed + story.line
                )
                play_return(model, backbone, one, "own")
                played.append(one)
            for one, other in zip(played, reversed(played), strict=True):
                if one.story in fresh:
                    play_return(model, backbone, one, "none")
                    if other is not one:
                        play_return(model, backbone, one, "swapped", other.bank)
        yield {
            one.story.key: _record(one, other if other is not one else None, embedder)
            for one, other in zip(played, reversed(played), strict=True)
            if one.story in fresh
        }


def _pairs(stories: Sequence[ProtocolStory]) -> list[tuple[list[ProtocolStory], list[ProtocolStory]]]:
    """(stories to play, those of them to record): two that return at the same chunk, or one that is alone."""
    groups: dict[tuple[int, ...], list[ProtocolStory]] = {}
    for story in stories:
        cut = tuple(segment.start_chunk for segment in story.plan.segments[: story.back + 1])
        groups.setdefault(cut, []).append(story)
    found = []
    for group in groups.values():
        for place in range(0, len(group), 2):
            pair = group[place : place + 2]
            found.append((pair if len(pair) == 2 or not place else [*pair, group[0]], pair))
    return found


# -- scores -----------------------------------------------------------------------------------------------------------


def _record(played: Played, donor: Played | None, embedder: Embedder) -> dict[str, Any]:
    met, absent = _direction(embedder, played.met), _direction(embedder, played.absent)
    others = None if donor is None else _direction(embedder, donor.met)
    record: dict[str, Any] = {"line": played.story.line, "donor": donor and donor.story.line, "banks": {}}
    for bank, pictures in played.returned.items():
        back = _direction(embedder, pictures)
        identity = float(back @ met)
        record["banks"][bank] = {
            "identity": identity,
            # the gate: nearer to the pictures with the subject than to those without it
            "present": None if absent is None else identity > float(back @ absent),
            "of_donor": None if others is None else float(back @ others),
        }
    return record


def _direction(embedder: Embedder, pictures: Tensor | None) -> Any:
    """Mean direction [D] of pictures' embeddings; None without pictures."""
    if pictures is None:
        return None
    return F.normalize(F.normalize(torch.as_tensor(embedder(pictures)).float(), dim=-1).mean(0), dim=-1)


def summary(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Averages over stories, with standard errors: presence, identity given presence, and what the bank was worth.

    own_minus_swapped, own_minus_none  identity of the return, of stories whose subject is there either way. Both share
                                       prompt, noise and history, so the difference is the bank's doing.
    own_is_nearer, swapped_is_nearer   how often the return is nearer to the subject whose bank it read than to that of
                                       the other story.
    """
    found = list(records)
    result: dict[str, Any] = {"stories": len(found)}
    for bank in BANKS:
        of_bank = [record["banks"][bank] for record in found if bank in record["banks"]]
        gated = [one["present"] for one in of_bank if one["present"] is not None]
        result[bank] = {
            "present": _mean(map(float, gated)),
            "identity": _mean(one["identity"] for one in of_bank if one["present"] is not False),
        }
    for bank in BANKS[1:]:
        pairs = [(record["banks"]["own"], record["banks"].get(bank)) for record in found]
        both = [(own, other) for own, other in pairs if other and _there(own) and _there(other)]
        result[f"own_minus_{bank}"] = _mean(own["identity"] - other["identity"] for own, other in both)
    nearer: dict[str, Callable[[float, float], bool]] = {"own": float.__gt__, "swapped": float.__lt__}
    for bank, is_nearer in nearer.items():
        of_bank = [record["banks"][bank] for record in found if bank in record["banks"]]
        chosen = [is_nearer(one["identity"], one["of_donor"]) for one in of_bank if one["of_donor"] is not None]
        result[f"{bank}_is_nearer"] = _mean(map(float, chosen))
    return result


def _there(one: dict[str, Any]) -> bool:
    return one["present"] is not False


def _mean(values: Iterable[float]) -> dict[str, float | int | None]:
    found = list(values)
    if not found:
        return {"mean": None, "error": None, "of": 0}
    mean = sum(found) / len(found)
    spread = sum((value - mean) ** 2 for value in found) / max(1, len(found) - 1)
    return {"mean": round(mean, 4), "error": round(math.sqrt(spread / len(found)), 4), "of": len(found)}


def _listed(value: Any) -> Any:
    """A value as JSON gives it back, without tuples."""
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, (list, tuple)) else value
