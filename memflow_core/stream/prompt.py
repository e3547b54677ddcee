"""The prompt of a stream: the one it speaks, the one that waits, and the way from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..memory import PromptKeys
from ..model import Backbone, TextKV
from .noise import Noise

# two directions at a smaller angle than this (its sine) have no arc between them to speak of
MIN_SINE = 1e-4


def blend_text(before: Tensor, after: Tensor, weight: float, path: str) -> Tensor:
    """The embedding `weight` of the way from one prompt to another; all the way, it is `after` itself.

    before, after  [B, length, text_dim]; the shorter is padded with zeros.
    path           `linear`, or `spherical`: the direction of each token turns along the arc and its norm moves
                   linearly. Where there is no arc (padding, parallel or opposite directions) it is linear too.
    """
    if weight >= 1:
        return after
    length = max(before.shape[1], after.shape[1])
    a, b = (F.pad(x.float(), (0, 0, 0, length - x.shape[1])) for x in (before, after))
    mixed = torch.lerp(a, b, weight)
    if path == "spherical":
        mixed = _arc(a, b, weight, mixed)
    return mixed.to(after.dtype)


def _arc(a: Tensor, b: Tensor, weight: float, otherwise: Tensor) -> Tensor:
    norm_a, norm_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    padding = (norm_a == 0) | (norm_b == 0)
    unit_a, unit_b = a / norm_a.masked_fill(padding, 1), b / norm_b.masked_fill(padding, 1)
    # exact for small angles too, which an arc cosine is not
    angle = 2 * torch.atan2((unit_a - unit_b).norm(dim=-1, keepdim=True), (unit_a + unit_b).norm(dim=-1, keepdim=True))
    flat = padding | (angle.sin() < MIN_SINE)
    sine = angle.sin().masked_fill(flat, 1)
    turned = (((1 - weight) * angle).sin() * unit_a + (weight * angle).sin() * unit_b) / sine
    return torch.where(flat, otherwise, turned * torch.lerp(norm_a, norm_b, weight))


@dataclass(frozen=True)
class TextBlend:
    """A prompt on its way: `done` of `chunks` steps from the embedding `before` [B, length, text_dim]."""

    before: Tensor
    chunks: int
    path: str
    done: int = 0

    @property
    def weight(self) -> float:
        """The new prompt's share."""
        return self.done / self.chunks

    def step(self) -> TextBlend:
        return replace(self, done=self.done + 1)


@dataclass(frozen=True)
class Prompt:
    """What a stream's prompt is, and what is spoken of it.

    text    embedding [B, length, text_dim] of the prompt itself.
    keys    what relevance knows of it.
    spoken  the embedding that the chunk is made under: `text`, or a step on the way to it.
    kv      cross-attention keys and values of `spoken`, per layer.
    blend   the way from the prompt before, while it lasts.
    """

    text: Tensor
    keys: PromptKeys
    spoken: Tensor
    kv: list[TextKV]
    blend: TextBlend | None = None

    @staticmethod
    def of(number: int, text: Tensor, backbone: Backbone) -> Prompt:
        """A prompt that is spoken as it is. text [B, length, text_dim] on the model's device."""
        kv = backbone.embed_text(text)
        return Prompt(text, PromptKeys.of(number, text, kv), text, kv)

    def reached(self, blend: TextBlend, backbone: Backbone) -> Prompt:
        """The same prompt with a step of the way to it spoken."""
        spoken = blend_text(blend.before, self.text, blend.weight, blend.path)
        under_way = blend if blend.done < blend.chunks else None
        return replace(self, spoken=spoken, kv=backbone.embed_text(spoken), blend=under_way)


@dataclass(frozen=True)
class PromptChange:
    """A prompt that waits for the next chunk boundary."""

    text: Tensor
    switch: str
    noise: Noise | None = None
    blend_chunks: int = 4
    blend_path: str = "linear"
    recall: tuple[str, ...] = ()


def check_embedding(text: Tensor, text_dim: int, batch: int) -> None:
    """Raise ValueError unless a prompt embedding fits the model and the batch, and holds numbers."""
    if text.ndim != 3 or text.shape[-1] != text_dim or text.shape[0] not in (1, batch):
        raise ValueError(
            f"the prompt embedding has shape {list(text.shape)}, but this model and batch need "
            f"[1 or {batch}, length, {text_dim}]: use the text encoder that belongs to the model."
        )
    if not bool(torch.isfinite(text).all()):
        raise ValueError("the prompt embedding holds NaN or infinity: check the text encoder's weights.")
