"""One forward pass shared by the processes of a group (sequence parallelism as in DeepSpeed-Ulysses, arXiv 2309.14509).

    patch tokens -> own tokens -> blocks -> head -> all tokens
                                  | q, k, v of own tokens and all heads
                                  | all-to-all: all tokens, own heads -> RoPE, cache, attention
                                  | all-to-all: own tokens, all heads

So a process keeps the cache of its own heads alone, 1 / P of it, and computes 1 / P of every product. Tokens are those
of the grid, the same ones of each latent frame, so that modulation by frame stays as it is. Weights are whole in every
process. Heads and tokens that do not come out even are split as evenly as can be.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..model import (
    Attend,
    Backbone,
    ControlInput,
    Modulation,
    TextKV,
    WanTree,
)
from .group import Group, SharedHeads
from .shares import shares_of, size_of


class ParallelBackbone(Backbone):
    """A `Backbone` that shares its passes with the other processes of a group.

    A `Stream` takes it as any other, in every process with the same arguments: it makes the same latents and takes the
    same decisions in each, as in one process but for the rounding of sums. `share` is what the stream's cache, scores
    and states go by.

    group    the processes.
    options  more keywords of `Backbone`.
    """

    def __init__(
        self,
        tree: WanTree | nn.Module,
        dtype: torch.dtype = torch.float32,
        *,
        group: Group,
        **options: Any,
    ):
        super().__init__(tree, dtype, **options)
        self.group = group
        self.share = self._heads = SharedHeads(group, self.heads)

    def __call__(
        self,
        x: Tensor,
        timesteps: Tensor | float,
        text: list[TextKV],
        attend: Attend,
        control: ControlInput | None = None,
    ) -> Tensor:
        """Predict the flow of noisy latent frames, as `Backbone` does; x and the flow are whole in every process.

        Raises ValueError for a control, which one process alone can take.
        """
        if control is not None:
            raise ValueError("a control cannot steer a stream that several processes share: use one process.")
        return super().__call__(x, timesteps, text, self._exchanged(attend, x))

    def write(self, x: Tensor, timesteps: Tensor | float, text: list[TextKV], attend: Attend) -> None:
        """Write the keys and values of own heads of latent frames x [B, C, F, h, w], as `Backbone` does."""
        super().write(x, timesteps, text, self._exchanged(attend, x))

    def _exchanged(self, attend: Attend, x: Tensor) -> Attend:
        tokens = self._tokens_of_ranks(_tokens_of(x))
        return ExchangedAttend(attend, self.group, heads=self._heads.shares, tokens=tokens, frames=x.shape[2])

    def _tokens_of_ranks(self, tokens: int) -> list[slice]:
        return shares_of(tokens, self.group.size, larger_last=True)

    def _own_tokens(self, tokens: int) -> int:
        return size_of(self._tokens_of_ranks(tokens)[self.group.rank])

    def _embed_patches(self, x: Tensor) -> Tensor:
        """[B, C, F, h, w] -> [B, F, own tokens, dim]."""
        own = self._tokens_of_ranks(_tokens_of(x))[self.group.rank]
        return super()._embed_patches(x)[:, :, own].contiguous()

    def _head(self, x: Tensor, modulation: Modulation, *, rows: int, columns: int) -> Tensor:
        """[B, F, own tokens, dim] -> [B, C, F, 2 * rows, 2 * columns]."""
        patches = self._project_patches(x, modulation)
        whole = self.group.gather(patches, self._tokens_of_ranks(rows * columns), dim=2)
        return self._join_patches(whole, rows=rows, columns=columns)


class ExchangedAttend:
    """Self-attention of all tokens and own heads, for a forward over own tokens and all heads. An `Attend`.

    attend  attends with own heads.
    heads   the share of each process.
    tokens  of a latent frame, the share of each process.
    frames  latent frames of the forward.
    """

    def __init__(self, attend: Attend, group: Group, *, heads: list[slice], tokens: list[slice], frames: int):
        self._attend = attend
        self._group = group
        self._heads = heads
        self._tokens = tokens
        self._frames = frames
        self._own_heads, self._own_tokens = size_of(heads[group.rank]), size_of(tokens[group.rank])

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [B, heads, F * own tokens, head_dim] before RoPE -> alike."""
        return self._to_own_tokens(self._attend(layer, *self._to_own_heads(q, k, v)))

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Write keys and values [B, heads, F * own tokens, head_dim] of all processes' tokens, for own heads."""
        self._attend.store(layer, *self._to_own_heads(k, v))

    def _to_own_heads(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """[B, heads, F * own tokens, head_dim] each -> [B, own heads, F * tokens, head_dim] each."""
        x = torch.stack(parts).unflatten(3, (self._frames, self._own_tokens))
        count, batch, *_, head_dim = x.shape  # [parts, B, heads, F, own tokens, head_dim]
        shapes = [(count, batch, self._own_heads, self._frames, size_of(at), head_dim) for at in self._tokens]
        received = self._group.exchange([x[:, :, heads] for heads in self._heads], shapes)
        return torch.cat(received, dim=4).flatten(3, 4).unbind()

    def _to_own_tokens(self, attended: Tensor) -> Tensor:
        """[B, own heads, F * tokens, head_dim] -> [B, heads, F * own tokens, head_dim]."""
        x = attended.unflatten(2, (self._frames, self._tokens[-1].stop))
        batch, head_dim = x.shape[0], x.shape[-1]
        shapes = [(batch, size_of(heads), self._frames, self._own_tokens, head_dim) for heads in self._heads]
        received = self._group.exchange([x[:, :, :, tokens] for tokens in self._tokens], shapes)
        return torch.cat(received, dim=1).flatten(2, 3)


def _tokens_of(x: Tensor) -> int:
    """Tokens of a latent frame of x [B, C, F, h, w]."""
    return (x.shape[-2] // 2) * (x.shape[-1] // 2)
