"""Image embedders: pictures to vectors whose angle tells whether they show the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Embedder = Callable[[Tensor], Tensor]
"""Called with pictures float32 [n, H, W, 3] from 0 to 1; returns float32 [n, D]."""

LEVELS = 6  # of each colour channel
COLOURS = "colours"


def colours(pictures: Tensor) -> Tensor:
    """Which colours pictures have, and how much of each: enough to tell the cartoons of the tiny story model apart.

    Roots of shares, so that the small one of a figure counts beside its background.
    """
    levels = (pictures.clamp(0, 1) * (LEVELS - 1)).round().long()
    bins = (levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2]
    counts = F.one_hot(bins.flatten(1), LEVELS**3).float().mean(dim=1)
    return counts.sqrt()


def vision_embedder(path: Path) -> Embedder:
    """The embedder of a file that ComfyUI loads as CLIP vision: CLIP, SigLIP, DINO v2 or v3. ComfyUI must be loaded.

    Raises ValueError for another file.
    """
    import comfy.clip_vision

    model = comfy.clip_vision.load(str(path))
    if model is None:
        raise ValueError(f"{path.name} is no image embedder that ComfyUI knows: take a CLIP vision or a DINO file.")

    @torch.inference_mode()
    def embed(pictures: Tensor) -> Tensor:
        # the whole picture, squeezed: a centre crop would lose who stands at the side
        return vector_of(model.encode_image(pictures, crop=False))

    return embed


def vector_of(output: Any) -> Tensor:
    """The vectors [n, D] of what ComfyUI's image encoders return: the embedding, or the class token's last state."""
    embeds = output["image_embeds"]
    return (output["last_hidden_state"][:, 0] if embeds is None else embeds).float().cpu()
