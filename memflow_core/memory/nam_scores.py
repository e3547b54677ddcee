"""NAM scores of retrieval: which frame of a full bank gives way, one small function a policy.

Section 3.2 of arXiv 2512.14699 scores by the coming prompt's text keys (`prompt_scores`); the others are alternatives
that the same bank can be run with. Scores are dot products of means, so they need one mean key a slot and never a
token-by-token matrix. All are computed on the device, for all layers and batch items side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .bank import MemoryBank
from .frame_kv import Candidate
from .prompt_keys import PromptKeys

# queries that meet the memory when attention mass is measured, evenly spread over the chunk; bounds the score matrix
MASS_QUERIES = 256


@dataclass(frozen=True)
class Scores:
    """Scores of one decision; the frame with the lowest is dropped.

    bank       [layers, B, n] in listed order.
    candidate  [layers, B] where the candidate competes; None where it always enters.
    """

    bank: Tensor
    candidate: Tensor | None = None

    @property
    def all(self) -> Tensor:
        """[layers, B, n], or n + 1 with the candidate's last where it competes."""
        return self.bank if self.candidate is None else torch.cat((self.bank, self.candidate[..., None]), dim=-1)


Score = Callable[[MemoryBank, Candidate, PromptKeys, Sequence[Tensor]], Scores]
"""Called with (bank, candidate, coming prompt, pooled [B, text_dim] of every prompt so far, by number)."""


def relevance(bank: MemoryBank, text_mean_k: Tensor) -> Tensor:
    """NAM's score of each bank frame: mean text key . mean visual key / sqrt(head_dim), averaged over heads.

    Section 3.2 of arXiv 2512.14699; the score is bilinear, so means of keys stand for the token-by-token matrix.

    text_mean_k  [layers, B, heads, head_dim] float32, all heads of the model.

    Returns [layers, B, n] float32 in listed order.
    """
    filled = bank.filled()
    keys, share = bank.cache.mean_k[:, :, :, filled], bank.cache.share
    summed = share.sum(torch.einsum("lbhd,lbhnd->lbn", text_mean_k[:, :, share.own], keys))
    scores = summed / (share.total * keys.shape[-1] ** 0.5)
    return scores.gather(-1, bank.listed() - filled.start)


def prompt_scores(bank: MemoryBank, candidate: Candidate, prompt: PromptKeys, pooled: Sequence[Tensor]) -> Scores:
    """NAM: relevance [layers, B, n] to the coming prompt's own text keys; the newest frame always enters."""
    return Scores(relevance(bank, prompt.own_k))


def similarity_scores(bank: MemoryBank, candidate: Candidate, prompt: PromptKeys, pooled: Sequence[Tensor]) -> Scores:
    """Cosine of pooled embeddings [B, text_dim]: a frame's own prompt against the coming one; the newest competes."""
    prompts = bank.listed_prompts()
    likeness = torch.einsum("pbc,bc->bp", torch.stack(list(pooled)), prompt.pooled).expand(len(prompts), -1, -1)
    return Scores(likeness.gather(-1, prompts), likeness[..., candidate.prompt])


def age_scores(bank: MemoryBank, candidate: Candidate, prompt: PromptKeys, pooled: Sequence[Tensor]) -> Scores:
    """First in, first out: latent frame numbers [layers, B, n]; the oldest scores lowest, the newest always enters."""
    return Scores(bank.listed_frames().float())


SCORES: dict[str, Score] = {"prompt": prompt_scores, "similarity": similarity_scores, "fifo": age_scores}
"""By `MemoryConfig.retrieval`; `attention` is scored inside a pass, by `attention_mass`."""


def attention_mass(bank: MemoryBank, layer: int, q: Tensor, candidate: Candidate) -> Scores:
    """Share of attention over sink, bank and candidate, averaged over queries and heads, in one layer.

    Of more than MASS_QUERIES queries, about as many are measured: thousands would cost more than the pass itself, and
    rank the frames alike.

    q  [B, heads, L, head_dim], rotated as stored keys are.

    Returns scores [1, B, n] and [1, B] float32.
    """
    cache, first = bank.cache, bank.filled().start
    held = cache.read(layer, slice(first, cache.layout.border + cache.layout.sink)).k
    own = candidate.copied.keys(layer, cache.dtype)
    keys = torch.cat((held, own[:, :, None]), dim=2)  # [B, heads, frames, tokens, head_dim]
    q = q[:, :, :: -(-q.shape[2] // MASS_QUERIES)]
    logits = torch.einsum("bhqd,bhntd->bhqnt", q, keys).float() / q.shape[-1] ** 0.5
    mass = logits.flatten(3).softmax(dim=-1).view_as(logits).sum(dim=(1, 2, 4))
    mass = cache.share.sum(mass) / (cache.share.total * q.shape[2])
    listed = bank.listed(slice(layer, layer + 1))[0] - first
    return Scores(mass.gather(-1, listed)[None], mass[None, :, -1])
