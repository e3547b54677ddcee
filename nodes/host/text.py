"""Encode prompts with a ComfyUI `CLIP`."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def embedding_of(conditioning: list) -> Tensor:
    """The one embedding [1, length, text_dim] of a `CONDITIONING`. Raises ValueError if it holds none or several."""
    if len(conditioning) != 1:
        raise ValueError(
            f"the conditioning holds {len(conditioning)} entries, but a segment takes exactly one: "
            f"connect a single CLIP Text Encode, without combining."
        )
    return conditioning[0][0]


def encode(clip: Any, texts: list[str]) -> tuple[Tensor, ...]:
    """One embedding [1, length, text_dim] for each prompt. Equal texts are encoded once."""
    known: dict[str, Tensor] = {}
    for text in texts:
        if text not in known:
            known[text] = embedding_of(clip.encode_from_tokens_scheduled(clip.tokenize(text)))
    return tuple(known[text] for text in texts)
