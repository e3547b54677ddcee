"""Sparse Memory Activation (SMA, section 3.3 of arXiv 2512.14699): choose the memory frames that each head reads."""

from __future__ import annotations

import torch
from torch import Tensor


def activate(q: Tensor, mean_k: Tensor, top_k: int) -> Tensor:
    """SMA: choose the memory frames that each head reads.

    A frame's relevance is the dot product of the chunk's mean query and the frame's mean key, per head (section 3.3 of
    arXiv 2512.14699).

    q       [B, heads, L, head_dim], rotated as stored keys are.
    mean_k  [B, heads, n, head_dim] float32.

    Returns frame indices [B, heads, top_k] int64, ascending.
    """
    mean_q = q.mean(dim=2, dtype=torch.float32)
    relevance = torch.bmm(mean_q.flatten(0, 1)[:, None], mean_k.flatten(0, 1).mT).view(mean_k.shape[:3])
    return relevance.topk(top_k, dim=-1).indices.sort(dim=-1).values
