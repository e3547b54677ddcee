"""Encode pictures chunk by chunk with the Wan 2.1 VAE, in constant memory: the latents of one encode of the whole clip.

The VAE's encoder is causal: of all the frames before a chunk it needs only the last two inputs of each of its temporal
convolutions, and the last one before each halving of time. ComfyUI carries them from piece to piece inside one encode
(`feat_cache`); here they are carried from chunk to chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from comfy.ldm.wan.vae import count_cache_layers
from torch import Tensor

CARRIED_FRAMES = 2
FRAMES_OF_A_LATENT = 4
ALIKE = 0.02  # mean difference of numbers from -1 to 1 up to which pictures are the same
PROBE_PX = 32  # side of a picture that shows what the encoder carries


class WanEncoder:
    """Encodes one clip from front to back with a `VAE` that `host.check_wan_vae` accepts; a `ClipEncoder` of the core.

    The VAE must be on its device (`host.sampling` loads it).

    to_model  from the latent space of a `LATENT` to the model's.
    """

    def __init__(self, vae: Any, to_model: Callable[[Tensor], Tensor]):
        self._vae = vae
        self._to_model = to_model
        self._network = vae.first_stage_model
        self._carry: list[Tensor | None] = [None] * count_cache_layers(self._network.encoder)

    @torch.inference_mode()
    def encode(self, frames: Tensor) -> Tensor:
        """The next frames [f, H, W, 3] from 0 to 1 -> [1, C, F, h, w] float32 in the model's latent space.

        f is 1 + 4 n at the clip's start and 4 n later on. Raises ValueError for another count.
        """
        first = 0 if self._started else 1
        if len(frames) < first or (len(frames) - first) % FRAMES_OF_A_LATENT:
            raise ValueError(f"{len(frames)} frames are to be encoded, but a clip goes on by fours.")
        pixels = self._vae.process_input(frames.movedim(-1, 0)[None])
        pieces = [pixels[:, :, :first], *pixels[:, :, first:].split(FRAMES_OF_A_LATENT, dim=2)]
        latents = [self._run(piece.to(self._vae.device, self._vae.vae_dtype)) for piece in pieces if piece.shape[2]]
        out = torch.cat(latents, dim=2).to(self._vae.vae_output_dtype()).float()
        return self._to_model(out)

    def state(self) -> dict[str, Tensor]:
        """Inputs [1, c, 1 or 2, h, w] of the temporal convolutions, by their places."""
        return {f"carry.{slot:02}": carried for slot, carried in enumerate(self._carry) if carried is not None}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`, or with a new clip from an empty one. Raises ValueError for another encoder's."""
        if state:
            self._check(state)
        kept = {int(name.removeprefix("carry.")): tensor for name, tensor in state.items()}
        device = self._vae.device
        self._carry = [kept[slot].to(device, copy=True) if slot in kept else None for slot in range(len(self._carry))]

    def saw(self, frames: Tensor) -> bool:
        """Whether the last frames of a clip that has begun were about these [2, H, W, 3], whatever made them again."""
        # what the first convolution looks back at is the frames themselves
        carried = self._carry[0]
        if carried is None:
            return True
        wanted = self._vae.process_input(frames.movedim(-1, 0)[None])[:, :, -carried.shape[2] :]
        return bool((carried.float().cpu() - wanted.float()).abs().mean() <= ALIKE)

    @property
    def _started(self) -> bool:
        return self._carry[0] is not None

    def _run(self, piece: Tensor) -> Tensor:
        """Encode one piece [1, 3, 1 or 4, H, W] to one latent frame, and carry what the next one needs."""
        before = list(self._carry)
        out = self._network.encoder(piece, feat_cache=self._carry, feat_idx=[0], final=True)
        self._carry = [_topped_up(old, new) for old, new in zip(before, self._carry, strict=True)]
        return self._network.conv1(out).chunk(2, dim=1)[0]

    @cached_property
    def _probe(self) -> dict[str, tuple[int, int]]:
        """(channels, pixels of the picture along a number's side) of each part that is carried."""
        probe = WanEncoder(self._vae, self._to_model)
        probe.encode(torch.zeros(1 + FRAMES_OF_A_LATENT, PROBE_PX, PROBE_PX, 3))
        return {name: (carried.shape[1], PROBE_PX // carried.shape[-1]) for name, carried in probe.state().items()}

    def _check(self, state: dict[str, Tensor]) -> None:
        parts = self._probe
        if state.keys() != parts.keys():
            raise ValueError("the state's control was encoded with another VAE: connect the one it was made with.")
        height, width = state[min(state)].shape[-2:]
        for name, (channels, scale) in parts.items():
            carried = state[name]
            shape = tuple(carried.shape)
            proper = len(shape) == 5 and 1 <= shape[2] <= CARRIED_FRAMES
            if not proper or (*shape[:2], *shape[3:]) != (1, channels, height // scale, width // scale):
                raise ValueError(
                    f"the state's control was encoded with another VAE: {name} has shape {list(shape)}, but this one "
                    f"needs [1, {channels}, 1 or 2, {height // scale}, {width // scale}]; connect the one it was made "
                    f"with."
                )
            if carried.dtype != self._vae.vae_dtype:
                raise ValueError(
                    f"the state's control was encoded in {carried.dtype}, but this VAE computes in "
                    f"{self._vae.vae_dtype}: start ComfyUI with the VAE precision it was made with."
                )


def _topped_up(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    """ComfyUI keeps the last two frames of a piece; of a piece of one, the second is still in the carry before."""
    if new is None:
        return None
    if old is not None and new.shape[2] < CARRIED_FRAMES:
        new = torch.cat((old, new), dim=2)[:, :, -CARRIED_FRAMES:]
    # a copy: a view would keep the whole piece alive
    return new.clone(memory_format=torch.contiguous_format)
