"""What every decoder of one chunk after another has: the way from latents to pixels, and the check of their shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class ChunkDecoder(ABC):
    """Decodes one video from front to back with a ComfyUI `VAE` that `host.check_stream_vae` accepts.

    The VAE must be on its device (`host.sampling` loads it). After an exception out of `decode` the carry belongs to
    no frame: restore a state, or start anew.
    """

    def __init__(self, vae: Any):
        self._vae = vae

    def decode(self, latents: Tensor) -> Tensor:
        """Decode the next latent frames, any number of them.

        latents  [1, C, F, h, w] floating point, in the latent space of a `LATENT`.

        Returns [f, H, W, 3] float32 from 0 to 1 on the CPU, where f is 4 F, and 4 F - 3 at the start of the video, and
        H and W are h and w times the pixels of a latent's side.
        Raises ValueError for latents of another shape than before.
        """
        return self.decode_on_device(latents).cpu()

    @torch.inference_mode()
    def decode_on_device(self, latents: Tensor) -> Tensor:
        """`decode` [1, C, F, h, w] to [f, H, W, 3] float32 on the VAE's device, whose work is not waited for."""
        self._check_shape(latents)
        frames = self._frames(latents.to(self._vae.device, self._vae.vae_dtype))
        pixels = self._vae.process_output(frames.to(self._vae.vae_output_dtype(), copy=True))
        return pixels[0].movedim(0, -1).float()

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Copies on the CPU of what the next chunk needs of the past, by name. Empty before the first chunk.

        The Wan VAE carries inputs [1, c, 1 or 2, h, w] of its convolutions (empty: one that has seen a single frame), a
        light decoder inputs [1, c, h, w] of its blocks, both in the VAE's precision.
        """

    @abstractmethod
    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state()`, which stays as it is. Raises ValueError if it is not one of such a decoder."""

    @abstractmethod
    def _frames(self, latents: Tensor) -> Tensor:
        """[1, C, F, h, w] -> [1, 3, f, H, W], and carry what the next latents need."""

    @property
    @abstractmethod
    def _first_carried(self) -> Tensor | None:
        """A carried tensor [..., h, w] of the latents' own size; None before the first chunk."""

    def _check_shape(self, latents: Tensor) -> None:
        channels = self._vae.latent_channels
        if latents.ndim != 5 or latents.shape[0] != 1 or latents.shape[1] != channels or latents.shape[2] < 1:
            raise ValueError(
                f"the latents have shape {list(latents.shape)}, but a streaming decode takes [1, {channels}, frames, "
                "height, width]: one video at a time."
            )
        before = self._first_carried
        if before is not None and before.shape[-2:] != latents.shape[-2:]:
            (height, width), (rows, columns) = before.shape[-2:], latents.shape[-2:]
            raise ValueError(
                f"the latents are {columns} x {rows} wide and high, but the video so far is {width} x {height}: "
                "a video keeps its size."
            )
