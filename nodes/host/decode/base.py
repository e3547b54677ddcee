"""What a decoder of one chunk after another does."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

CARRIED_FRAMES = 2
# ComfyUI's mark for a temporal upsampler that has seen the first latent frame alone, which it does not upsample
FIRST_SEEN = "Rep"


class ChunkDecoder(ABC):
    """Decodes one video from front to back with a ComfyUI `VAE` that `host.check_stream_vae` accepts.

    The VAE must be on its device (`host.sampling` sees to that). After an exception out of `decode` the carry is that
    of no frame: restore a state, or start anew.
    """

    def __init__(self, vae):
        self._vae = vae

    def decode(self, latents: Tensor) -> Tensor:
        """The video frames of the next latent frames, any number of them.

        latents  [1, C, F, h, w] as in a `LATENT`. Returns [f, 8 h, 8 w, 3] float32 from 0 to 1 on the CPU, where f is
        4 F, and 4 F - 3 at the start of the video. Raises ValueError for latents of another shape than before.
        """
        return self.decode_there(latents).cpu()

    @torch.inference_mode()
    def decode_there(self, latents: Tensor) -> Tensor:
        """The same, on the VAE's device, without waiting for it."""
        self._check_shape(latents)
        frames = self._frames(latents.to(self._vae.device, self._vae.vae_dtype))
        pixels = self._vae.process_output(frames.to(self._vae.vae_output_dtype(), copy=True))
        return pixels[0].movedim(0, -1).float()

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What the next chunk needs of the past: copies on the CPU. Empty before the first chunk."""

    @abstractmethod
    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`, which stays as it is. Raises ValueError if it is not one of such a decoder."""

    @abstractmethod
    def _frames(self, latents: Tensor) -> Tensor:
        """[1, C, F, h, w] -> [1, 3, f, 8 h, 8 w], and carry on what the next ones need."""

    @property
    @abstractmethod
    def _first_carried(self) -> Tensor | None:
        """What is carried at the latents' own size; None before the first chunk."""

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
