"""Recall from the archive: scores of archived frames for a coming prompt, and which of them fill the bank.

Frames of one prompt make a shot. `words` and `similarity` score a shot by prompt embeddings alone, so they need no
training and know no language; `keys` scores a frame as Narrative Adaptive Memory does (section 3.2 of arXiv
2512.14699), whose text keys find the right frames only where training made them so; `attention` scores it by what the
coming chunk's queries look at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .kin import Kin, found_tokens, own_tokens, rarity

# counts changes of what is chosen: measurements under another count are not of this rule
ARCHIVE_RULE = 2
# shots that score less than this share of the way from the mean score to the best matter less than it
HIGH = 0.5


def similarity(coming: Tensor, past: Sequence[Tensor]) -> Tensor:
    """Cosine of pooled prompt embeddings.

    coming  [length, text_dim], padded with rows of zeros.
    past    embeddings of earlier prompts, alike.

    Returns [len(past)] float32.
    """
    pooled = torch.stack([F.normalize(own_tokens(text).mean(0), dim=-1) for text in past])
    return pooled @ F.normalize(own_tokens(coming).mean(0), dim=-1)


def words(coming: Tensor, past: Sequence[Tensor]) -> Tensor:
    """Late interaction of prompt tokens, weighted by how rare each is among the earlier prompts.

    Each token of the coming prompt looks for the likest token of an earlier one. What a token finds in every prompt
    says nothing, so it counts by how far a find is above its mean over the prompts, and by the logarithm of how rarely
    it is found: a name that was heard once outweighs a place that others were at, too. Arguments and result as of
    `similarity`.
    """
    found = found_tokens(coming, past)
    return ((found - found.mean(0)) * rarity(found)).sum(-1)


def keys(text_keys: Tensor, mean_keys: Tensor) -> Tensor:
    """NAM's score of frames, each layer's brought to one scale and averaged over layers.

    text_keys  mean text key of the coming prompt, [layers, heads, head_dim] float32.
    mean_keys  mean key of each frame, [frames, layers, heads, head_dim] float32.

    Returns [frames] float32.
    """
    by_layer = torch.einsum("lhd,nlhd->nl", text_keys, mean_keys)
    spread = by_layer.std(0, unbiased=False).clamp(min=1e-6)
    return ((by_layer - by_layer.mean(0)) / spread).mean(-1)


def attention(queries: Tensor, mean_keys: Tensor) -> Tensor:
    """Mass of a chunk's queries over frames in one layer, each frame standing there by its mean key.

    queries    [B, heads, n, head_dim], of some heads.
    mean_keys  [frames, B, heads, head_dim] float32, alike, as stored keys are.

    Returns [B, frames] float32: summed over heads, a mean over queries.
    """
    met = torch.einsum("bhqd,nbhd->bhqn", queries.float(), mean_keys) / queries.shape[-1] ** 0.5
    return met.softmax(dim=-1).mean(dim=2).sum(dim=1)


def choose(scores: Sequence[float], shots: Sequence[int], places: int, kin: Kin | None = None) -> list[int]:
    """Choose the frames that fill the bank: one of each shot that matters about as much as the best, then a second.

    A frame of another character of the same kind is not harmless, so shots far below the best one are taken only where
    the bank would stay empty, and rivals of a chosen one, who share its name and not its looks, after all others. One
    place shows another character, who is no rival. Within a shot the newest frame comes first: there the character has
    arrived.

    scores  of each frame, oldest first.
    shots   number of the prompt that each was made under.
    kin     what prompts and pictures say of the shots; None: nothing, and there are no rivals.

    Returns indices of at most `places` frames, best first.
    """
    by_shot: dict[int, list[int]] = {}
    for index in reversed(range(len(scores))):
        by_shot.setdefault(shots[index], []).append(index)
    best = {shot: max(scores[index] for index in frames) for shot, frames in by_shot.items()}
    order = sorted(by_shot, key=lambda shot: (-best[shot], -shot))
    if not order:
        return []
    mean = sum(best.values()) / len(best)
    least = mean + HIGH * (best[order[0]] - mean)
    if kin is not None:
        first = kin.meant(order[0], best)
        order = [first, *(shot for shot in order if shot != first)]
    taken, low, rivals = _sorted_out(order, {shot for shot in order if best[shot] >= least}, places, kin)
    found = [*_in_turn(by_shot, taken), *_in_turn(by_shot, low), *_in_turn(by_shot, rivals)]
    return found[:places] if kin is None else _with_another(found, shots, order, places, kin)


def _with_another(found: Sequence[int], shots: Sequence[int], order: Sequence[int], places: int, kin: Kin) -> list[int]:
    """Let one place show another character than the best shot's, by none of its rivals.

    It is the second place where the prompt says something that the best shot does not cover; else the last of three or
    more, for the best shot may be the wrong one: a word for the place may outvote the one for who is there.
    """
    first, of_first = order[0], kin.same(order[0])
    place, other = 1, kin.beside(first)
    if other is None:
        rivals, place = kin.rivals(first), max(2, places - 1)
        other = next((shot for shot in order if shot not in of_first and shot not in rivals), None)
        if any(shots[index] not in of_first for index in found[:places]):
            other = None
    if other is None or any(shots[index] == other for index in found[:places]):
        return list(found[:places])
    newest = next(index for index in reversed(range(len(shots))) if shots[index] == other)
    rest = [index for index in found if index != newest]
    return [*rest[:place], newest, *rest[place:]][:places]


def _sorted_out(
    order: Sequence[int], high: Collection[int], places: int, kin: Kin | None
) -> tuple[list[int], list[int], list[int]]:
    """Part shots, best first, into those to take, those that matter too little, and rivals of those to take.

    high  shots that matter about as much as the best.
    """
    taken: list[int] = []
    low: list[int] = []
    barred: set[int] = set()
    for shot in order:
        if shot in barred:
            continue
        if taken and shot not in high:
            low.append(shot)
            continue
        # more than there are places need no sorting out, which takes a look at all prompts for each
        if kin is not None and len(taken) < places:
            of_taken = set().union(*(kin.same(one) for one in taken))
            if shot not in of_taken:
                barred |= kin.rivals(shot) - of_taken
        taken.append(shot)
    return taken, [shot for shot in low if shot not in barred], [shot for shot in order if shot in barred - {*taken}]


def _in_turn(by_shot: Mapping[int, Sequence[int]], shots: Sequence[int]) -> list[int]:
    """The first frame of each shot, then the second of each, and so on."""
    rounds = max((len(by_shot[shot]) for shot in shots), default=0)
    return [by_shot[shot][turn] for turn in range(rounds) for shot in shots if turn < len(by_shot[shot])]
