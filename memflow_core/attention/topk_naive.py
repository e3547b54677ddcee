"""Attention over chosen memory frames and the whole window (SMA, section 3.3 of arXiv 2512.14699), in plain torch.

The definition of `topk_triton`, which computes the same without a copy of the frames that are read.
"""

from __future__ import annotations

import torch
from torch import Tensor


def topk_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    chosen: Tensor,
    memory: int,
    partial: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """softmax(q k^T / sqrt(head_dim)) v over the frames `chosen` and over every frame from `memory` on.

    q             [B, heads, L, head_dim].
    keys, values  [B, heads, frames, tokens, head_dim]; the first `memory` frames are sink and bank, the rest the
                  window.
    chosen        [B, heads, k] integers below `memory`, all different: the memory frames that each head reads.
    partial       attention over other keys that is already done, to go on from: its result [B, heads, L, head_dim]
                  and the log-sum-exp of its logits [B, heads, L] float32.

    Returns [B, heads, L, head_dim] in q's dtype; everything between is float32.
    """
    k, v = (torch.cat((take_frames(x[:, :, :memory], chosen), x[:, :, memory:]), dim=2) for x in (keys, values))
    logits = q.float() @ k.flatten(2, 3).float().mT / q.shape[-1] ** 0.5
    total = logits.logsumexp(dim=-1, keepdim=True)
    out = (logits - total).exp() @ v.flatten(2, 3).float()
    if partial is not None:
        done, done_total = partial[0].float(), partial[1].float()[..., None]
        out = torch.lerp(out, done, torch.sigmoid(done_total - total))
    return out.to(q.dtype)


def take_frames(x: Tensor, chosen: Tensor) -> Tensor:
    """Gather chosen frames per head.

    x [B, heads, n, tokens, head_dim], chosen [B, heads, k] int64 -> [B, heads, k, tokens, head_dim].
    """
    return x.gather(2, chosen[..., None, None].expand(*chosen.shape, *x.shape[3:]))
