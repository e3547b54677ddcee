"""Prompt of a stream: the current one, the one that waits for the next chunk, and a blend from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..memory import EmbeddingTable, PromptKeys, StateDict
from ..model import Backbone, TextKV
from .noise import Noise, SeededNoise

# two directions at a smaller angle than this (its sine) are blended linearly: the arc is not defined well enough
MIN_SINE = 1e-4


def blend_text(before: Tensor, after: Tensor, weight: float, path: str) -> Tensor:
    """Blend two prompt embeddings: `weight` 0 is `before`, 1 is `after` itself.

    before, after  [B, length, text_dim]; the shorter is padded with zeros.
    path           `linear`, or `spherical`: the direction of each token turns along the arc and its norm moves
                   linearly. Where there is no arc (padding, parallel or opposite directions) it is linear too.

    Returns [B, length, text_dim] in after's dtype.
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
    """A blend under way: `done` of `chunks` steps from the embedding `before` [B, length, text_dim]."""

    before: Tensor
    chunks: int
    path: str
    done: int = 0

    @property
    def weight(self) -> float:
        """The new prompt's share."""
        return self.done / self.chunks

    def step(self) -> TextBlend:
        """The blend one chunk later."""
        return replace(self, done=self.done + 1)


@dataclass(frozen=True)
class Prompt:
    """The current prompt of a stream.

    text    embedding [B, length, text_dim] of the prompt itself.
    keys    its means, for retrieval.
    spoken  [B, length, text_dim]: the embedding that the chunk is made under, `text` or a step of the blend to it.
    kv      cross-attention keys and values of `spoken`, per layer.
    blend   from the prompt before, while it lasts.
    weights name of the weights that the model has under this prompt; "" for its own.
    """

    text: Tensor
    keys: PromptKeys
    spoken: Tensor
    kv: list[TextKV]
    blend: TextBlend | None = None
    weights: str = ""

    @staticmethod
    def of(number: int, text: Tensor, backbone: Backbone, weights: str = "") -> Prompt:
        """A prompt without a blend, with the model's weights set. text [B, length, text_dim] on the model's device."""
        backbone.use_weights(weights)
        kv = backbone.embed_text(text)
        return Prompt(text=text, keys=PromptKeys.of(number, text, kv), spoken=text, kv=kv, weights=weights)

    def at_step(self, blend: TextBlend, backbone: Backbone) -> Prompt:
        """The same prompt, made under a step of the blend to it."""
        spoken = blend_text(blend.before, self.text, blend.weight, blend.path)
        under_way = blend if blend.done < blend.chunks else None
        return replace(self, spoken=spoken, kv=backbone.embed_text(spoken), blend=under_way)

    def state_dict(self, texts: EmbeddingTable) -> StateDict:
        """Number, embedding and blend; embeddings are added to `texts`."""
        state = StateDict(meta={"prompt": self.keys.number, "text": texts.number(self.text)})
        if self.blend is not None:
            before = texts.number(self.blend.before)
            blend = {"before": before, "chunks": self.blend.chunks, "path": self.blend.path, "done": self.blend.done}
            state.meta["blend"] = blend
        if self.weights:
            state.meta["weights"] = self.weights
        return state

    @staticmethod
    def from_state_dict(state: StateDict, texts: Sequence[Tensor], backbone: Backbone, device: torch.device) -> Prompt:
        """The prompt of a state; texts: its embeddings by number."""
        text = texts[state.meta["text"]].to(device)
        prompt = Prompt.of(state.meta["prompt"], text, backbone, state.meta.get("weights", ""))
        if "blend" not in state.meta:
            return prompt
        blend = state.meta["blend"]
        before = texts[blend["before"]].to(device)
        return prompt.at_step(TextBlend(before, blend["chunks"], blend["path"], done=blend["done"]), backbone)


@dataclass(frozen=True)
class PromptChange:
    """A prompt that waits for the next chunk boundary; fields as `Stream.set_prompt` takes them."""

    text: Tensor
    switch: str
    noise: Noise | None = None
    blend_chunks: int = 4
    blend_path: str = "linear"
    recall: tuple[str, ...] = ()
    weights: str = ""

    def state_dict(self, texts: EmbeddingTable, batch: int) -> StateDict:
        """The change, its embedding expanded to the batch and added to `texts`."""
        change = {
            "text": texts.number(self.text.expand(batch, -1, -1)),
            "switch": self.switch,
            "noise": self.noise.seed if isinstance(self.noise, SeededNoise) else None,
            "blend_chunks": self.blend_chunks,
            "blend_path": self.blend_path,
            "recall": list(self.recall),
            **({"weights": self.weights} if self.weights else {}),
        }
        return StateDict(meta={"next": change})


def change_arguments(state: StateDict, texts: Sequence[Tensor]) -> dict[str, Any] | None:
    """Arguments of `Stream.set_prompt` for the change that waits in a state; None if none does."""
    if "next" not in state.meta:
        return None
    change = state.meta["next"]
    return {**change, "text": texts[change["text"]]}


def check_forgotten(switch: str, recall: Sequence[str]) -> None:
    """Raise ValueError for a prompt that forgets all, and yet asks for pins by name."""
    if switch == "fresh" and recall:
        raise ValueError(
            f"a fresh prompt forgets all that was made before it, so it cannot ask for {', '.join(recall)}: use the "
            f"switch 'cut', or pin a moment after it."
        )


def check_embedding(text: Tensor, text_dim: int, batch: int) -> None:
    """Raise ValueError unless a prompt embedding [1 or batch, length, text_dim] fits the model and is finite."""
    if text.ndim != 3 or text.shape[-1] != text_dim or text.shape[0] not in (1, batch):
        raise ValueError(
            f"the prompt embedding has shape {list(text.shape)}, but this model and batch need "
            f"[1 or {batch}, length, {text_dim}]: use the text encoder that belongs to the model."
        )
    if not bool(torch.isfinite(text).all()):
        raise ValueError("the prompt embedding holds NaN or infinity: check the text encoder's weights.")
