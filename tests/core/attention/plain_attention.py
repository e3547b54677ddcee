"""Attention with memory as the paper writes it, slowly and plainly. Tests hold the fast path to this."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_with_memory(
    q: Tensor, memory: list[tuple[Tensor, Tensor]], window: list[tuple[Tensor, Tensor]], top_k: int | None = None
) -> Tensor:
    """One head of one batch item, in float64.

    q                [L, head_dim], the chunk's queries.
    memory, window   a (k, v) pair of [tokens, head_dim] for each latent frame: sink + bank, and window.
    top_k            SMA: read only the memory frames whose mean key fits the mean query best.
    """
    q = q.double()
    if top_k is not None:
        relevance = [torch.dot(q.mean(0), k.double().mean(0)).item() for k, _ in memory]
        best = sorted(range(len(memory)), key=lambda i: -relevance[i])[:top_k]
        memory = [memory[i] for i in sorted(best)]
    k = torch.cat([k.double() for k, _ in memory + window])
    v = torch.cat([v.double() for _, v in memory + window])
    weights = torch.softmax(q @ k.T / q.shape[-1] ** 0.5, dim=-1)
    return weights @ v
