"""Admission to a full bank: whether a frame that leaves the window may enter, and which frames it must not displace.

Beside the retrieval rule, which says what gives way, `novelty` says what enters, and `kept_ahead` what stays because a
prompt to come will ask for it. Both decide on the device, for all layers and batch items side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .bank import MemoryBank
from .frame_kv import Candidate
from .nam_scores import relevance, similarity_scores
from .prompt_keys import PromptKeys

Fit = Callable[[MemoryBank, Candidate, PromptKeys, Sequence[Tensor]], Tensor]
"""Called as a `Score`; returns [layers, B, n + 1], those of the bank in listed order and the candidate's."""


def novelty(bank: MemoryBank, candidate: Candidate, layers: slice = slice(None)) -> Tensor:
    """Whether a frame is at least as far from the bank's as the two of those that are nearest to each other.

    Distances are Euclidean, between mean keys of all heads. A bank of one frame has no distance: then all is new.

    Returns bool [layers, B].
    """
    filled, share = bank.filled(), bank.cache.share
    held = bank.cache.mean_k[layers, :, :, filled].movedim(3, 2)  # [layers, B, n, heads, head_dim]
    own = candidate.copied.mean_k[layers][:, :, None]
    from_held = share.sum((held - own).square().sum(dim=(-1, -2))).amin(dim=-1)
    count = held.shape[2]
    if count < 2:
        return torch.ones_like(from_held, dtype=torch.bool)
    between = share.sum((held[:, :, :, None] - held[:, :, None]).square().sum(dim=(-1, -2)))
    itself = torch.eye(count, dtype=torch.bool, device=between.device)
    return from_held >= between.masked_fill(itself, torch.inf).amin(dim=(-1, -2))


def kept_ahead(
    bank: MemoryBank,
    candidate: Candidate,
    fit: Fit,
    coming: Sequence[PromptKeys],
    pooled: Sequence[Tensor],
    stays: Tensor,
) -> Tensor:
    """Which frames of a full bank the prompts to come will ask for: of each, nearest first, the one that scores best.

    One place stays free, so at most all but one, those that stay anyway included. A prompt that the candidate itself
    fits best keeps none.

    coming  prompts to come, nearest first.
    fit     how well frames fit a prompt, one of FITS.
    stays   bool [layers, B, n]: frames that are not dropped in any case, such as pins.

    Returns bool [layers, B, n], in listed order.
    """
    kept = torch.zeros_like(bank.listed(), dtype=torch.bool)
    places = torch.arange(kept.shape[-1], device=kept.device)
    for prompt in coming:
        best = fit(bank, candidate, prompt, pooled).argmax(dim=-1, keepdim=True)
        full = (kept | stays).sum(dim=-1, keepdim=True) >= kept.shape[-1] - 1
        kept = kept | ((places == best) & ~full)
    return kept


def _relevance(
    bank: MemoryBank,
    candidate: Candidate,
    prompt: PromptKeys,
    pooled: Sequence[Tensor],  # noqa: ARG001
) -> Tensor:
    """NAM's score of the bank and of the candidate."""
    share, own = bank.cache.share, candidate.copied.mean_k
    summed = share.sum(torch.einsum("lbhd,lbhd->lb", prompt.own_k[:, :, share.own], own))
    scored = summed / (share.total * own.shape[-1] ** 0.5)
    return torch.cat((relevance(bank, prompt.own_k), scored[..., None]), dim=-1)


def _similarity(bank: MemoryBank, candidate: Candidate, prompt: PromptKeys, pooled: Sequence[Tensor]) -> Tensor:
    return similarity_scores(bank, candidate, prompt, pooled).all


FITS: dict[str, Fit] = {"prompt": _relevance, "similarity": _similarity}
"""By `MemoryConfig.retrieval`."""
