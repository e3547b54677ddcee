"""Decode chunk by chunk with a light decoder: a TAEHV, which is small and fast, with softer pictures than the VAE.

Some of its blocks read the frame before the current one, and no other layer reads the past: the last input of each
such block is all that is carried from chunk to chunk. ComfyUI decodes a whole latent frame by frame in the same order,
so frames are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..taehv import frames_to_trim, light_layers, patch_of
from .base import ChunkDecoder


class LightDecoder(ChunkDecoder):
    """Decodes chunk by chunk with a light decoder for Wan 2.1 or 2.2."""

    def __init__(self, vae: Any):
        super().__init__(vae)
        self._layers = light_layers(vae)
        # last input [1, c, h, w] of each block that looks back, by its place; none before the first frame
        self._memory: dict[int, Tensor] = {}

    def state(self) -> dict[str, Tensor]:
        """Inputs [1, c, h, w] of the blocks that look back."""
        return {_name(place): memory.detach().cpu().clone() for place, memory in sorted(self._memory.items())}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from such inputs [1, c, h, w]. Raises ValueError for those of another decoder."""
        if state:
            self._check_state(state)
        self._memory = {place: state[_name(place)].to(self._vae.device, copy=True) for place in self._places() if state}

    @property
    def _first_carried(self) -> Tensor | None:
        return self._memory.get(self._places()[0])

    def _places(self) -> list[int]:
        return [place for place, layer in enumerate(self._layers) if layer.looks_back]

    def _frames(self, latents: Tensor) -> Tensor:
        # of the first latent frame, only the last of its frames is one of the video
        skipped = 0 if self._memory else frames_to_trim(self._vae)
        frames = [frame for latent in latents.unbind(2) for frame in self._run_layers(latent, 0)]
        # that for Wan 2.2 makes patches of 2 x 2 pixels
        side = patch_of(self._vae)
        return torch.stack([F.pixel_shuffle(frame, side) for frame in frames[skipped:]], dim=2)

    def _run_layers(self, x: Tensor, start: int) -> Iterator[Tensor]:
        """Run one frame x [1, c, h, w] through the layers from `start` on: -> the frames it becomes, [1, 3, H, W]."""
        for place, layer in enumerate(self._layers[start:], start):
            if layer.looks_back:
                past = self._memory.get(place, torch.zeros_like(x))
                # a copy, since x may be a part of something larger
                self._memory[place] = x.clone()
                x = layer.module(x, past)
            elif layer.grows > 1:
                for part in layer.module(x).reshape(1, -1, *x.shape[-2:]).chunk(layer.grows, dim=1):
                    yield from self._run_layers(part, place + 1)
                return
            else:
                x = layer.module(x)
        yield x

    def _check_state(self, state: dict[str, Tensor]) -> None:
        places, dtype = self._places(), self._vae.vae_dtype
        if set(state) != {_name(place) for place in places}:
            raise ValueError(
                "the state's decoder part does not belong to a light decoder: connect the VAE it was made with."
            )
        rows, columns = state[_name(places[0])].shape[-2:]
        for place in places:
            layer, memory = self._layers[place], state[_name(place)]
            wanted = (1, layer.channels, layer.scale * rows, layer.scale * columns)
            if tuple(memory.shape) != wanted or memory.dtype != dtype or not memory.numel():
                raise ValueError(
                    f"the state was decoded with another VAE or precision: {_name(place)} is {memory.dtype} "
                    f"{list(memory.shape)}, but must be {dtype} {list(wanted)}; connect the VAE it was made with."
                )


def _name(place: int) -> str:
    return f"light.{place:02}"
