"""Encode prompts with a ComfyUI `CLIP`."""

from __future__ import annotations

from typing import Any

from .honoured.conditioning import Spoken, read_conditioning


def encode(clip: Any, texts: list[str]) -> tuple[Spoken, ...]:
    """What a stream takes of each prompt. Equal texts are encoded once."""
    known: dict[str, Spoken] = {}
    for text in texts:
        if text not in known:
            known[text] = read_conditioning(clip.encode_from_tokens_scheduled(clip.tokenize(text)))
    return tuple(known[text] for text in texts)
