"""Decode chunk by chunk with the Wan VAE, that of 2.1 or of 2.2, in constant memory.

The VAE's decoder is causal: of all the latents before a chunk it needs only the last two inputs of each of its temporal
convolutions. ComfyUI carries them from piece to piece inside one decode (`feat_cache`); here they are carried from
chunk to chunk, so that the frames of all chunks together are those of one decode of the whole latent.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy.ldm.wan.vae2_2 import WanVAE as Wan22VAE
from comfy.ldm.wan.vae2_2 import unpatchify
from torch import Tensor, nn

from .base import ChunkDecoder

CARRIED_FRAMES = 2
# ComfyUI's mark for a temporal upsampler that has seen the first latent frame alone, which it does not upsample
FIRST_SEEN = "Rep"


class WanDecoder(ChunkDecoder):
    """Decodes chunk by chunk with the Wan VAE: that of 2.1, or that of 2.2, which makes patches of 2 x 2 pixels."""

    def __init__(self, vae: Any):
        super().__init__(vae)
        self._decoder: nn.Module = vae.first_stage_model.decoder
        # in the order in which the decoder runs them, which is that of its slots
        self._convs = [m for m in self._decoder.modules() if isinstance(m, nn.Conv3d) and m.kernel_size[0] > 1]
        # for each of them its last inputs [1, c, 1 or 2, h, w], a mark, or None before the first chunk
        self._carry: list[Tensor | str | None] = [None] * len(self._convs)
        self._in_patches = isinstance(vae.first_stage_model, Wan22VAE)

    def state(self) -> dict[str, Tensor]:
        """Inputs [1, c, 1 or 2, h, w] of the temporal convolutions."""
        if not self._started:
            return {}
        return {name: _to_state(carried) for name, carried in zip(self._names, self._carry, strict=True)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from such inputs [1, c, 1 or 2, h, w]. Raises ValueError for those of another decoder."""
        if state:
            self._check_state(state)
            self._carry = [self._from_state(state[name]) for name in self._names]
        else:
            self._carry = [None] * len(self._convs)

    @property
    def _started(self) -> bool:
        return self._carry[0] is not None

    @property
    def _first_carried(self) -> Tensor | None:
        first = self._carry[0]
        return first if isinstance(first, Tensor) else None

    @property
    def _names(self) -> list[str]:
        return [f"carry.{slot:02}" for slot in range(len(self._convs))]

    def _frames(self, latents: Tensor) -> Tensor:
        z = self._vae.first_stage_model.conv2(latents)
        frames = torch.cat([part for piece in self._pieces(z) for part in self._run_decoder(piece)], dim=2)
        # laid out as a restored carry is: convolutions may round otherwise for another layout
        self._carry = [carried.contiguous() if isinstance(carried, Tensor) else carried for carried in self._carry]
        return unpatchify(frames, patch_size=2) if self._in_patches else frames

    def _pieces(self, z: Tensor) -> tuple[Tensor, ...]:
        """Split z [1, C, F, h, w] into what goes through the decoder together: the video's first latent frame alone,
        then twos, as in ComfyUI."""
        if self._in_patches:
            # ComfyUI decodes one latent frame after another with this VAE
            return z.split(1, dim=2)
        first = [] if self._started else [1]
        rest = z.shape[2] - len(first)
        twos = [2] * (rest // 2)
        if rest % 2:
            # an odd one joins the last two, since a single frame costs a look back at the old carry
            twos[-1:] = [3] if twos else [1]
        return z.split(first + twos, dim=2)

    def _run_decoder(self, piece: Tensor) -> list[Tensor]:
        """Decode one piece [1, C, F, h, w], and carry what the next one needs."""
        if self._in_patches:
            return [self._decoder(piece, feat_cache=self._carry, feat_idx=[0], first_chunk=not self._started)]
        before = list(self._carry) if piece.shape[2] < CARRIED_FRAMES else None
        frames = self._decoder(piece, feat_cache=self._carry, feat_idx=[0])
        if before is not None:
            self._carry = [_topped_up(old, new) for old, new in zip(before, self._carry, strict=True)]
        return frames

    def _from_state(self, tensor: Tensor) -> Tensor | str:
        return tensor.to(self._vae.device, copy=True) if tensor.numel() else FIRST_SEEN

    def _scales(self) -> list[int]:
        """How much larger than the latents each temporal convolution's input is."""
        scale = 1
        scales = []
        for module in self._decoder.modules():
            if isinstance(module, nn.Upsample):
                scale *= 2
            elif isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
                # a temporal upsampler runs before the spatial one that it is listed after
                scales.append(scale // 2 if module.kernel_size[1] == 1 else scale)
        return scales

    def _check_state(self, state: dict[str, Tensor]) -> None:
        if set(state) != set(self._names):
            raise ValueError(
                "the state's decoder part does not belong to this Wan VAE: use the state of a video node, with the "
                "VAE it was made with."
            )
        size = state[self._names[0]].shape[-2:]
        for name, conv, scale in zip(self._names, self._convs, self._scales(), strict=True):
            carried = state[name]
            # only temporal upsamplers, whose kernels have no width, can be at the mark
            if carried.numel() == 0 and conv.kernel_size[1] == 1:
                continue
            if carried.dtype != self._vae.vae_dtype:
                raise ValueError(
                    f"the state was decoded in {_name(carried.dtype)}, but this VAE computes in "
                    f"{_name(self._vae.vae_dtype)}: start ComfyUI with the VAE precision it was made with."
                )
            grown = tuple(carried.shape[-2:]) == tuple(scale * length for length in size)
            fits = carried.ndim == 5 and carried.shape[1] == conv.in_channels and grown
            if not fits or carried.shape[0] != 1 or not 1 <= carried.shape[2] <= CARRIED_FRAMES or not carried.numel():
                raise ValueError(
                    f"the state was decoded with another VAE: {name} has shape {list(carried.shape)}, but this one "
                    f"needs [1, {conv.in_channels}, 1 or 2, height, width]; connect the VAE it was made with."
                )


def _to_state(carried: Tensor | str | None) -> Tensor:
    # the mark has no numbers: an empty tensor stands for it
    return carried.detach().cpu().clone() if isinstance(carried, Tensor) else torch.empty(0)


def _topped_up(old: Tensor | str | None, new: Tensor | str | None) -> Tensor | str | None:
    """ComfyUI keeps the last two frames of a piece; of a piece of one, the second is still in the carry before."""
    if isinstance(old, Tensor) and isinstance(new, Tensor) and new.shape[2] < CARRIED_FRAMES:
        return torch.cat((old, new), dim=2)[:, :, -CARRIED_FRAMES:]
    return new


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
