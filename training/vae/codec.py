"""Encode and decode pictures with the tiny story model's VAE in plain torch, without ComfyUI.

Reads the files that `training.train_vae --export` writes. Latents are in the model's space: about zero mean and unit
variance per channel, as ComfyUI hands them to a sampler.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memflow_core.weights import read_checkpoint

from ..cartoons import FRAMES_PER_LATENT
from ..precision import mixed_precision
from .autoencoder import WAN_MEAN, WAN_STD, Conv, TimeConv, VideoAutoencoder

# A latent frame depends on its own pictures and on three before them, and shows in its own pictures and those of at
# most three latent frames after it. So a stretch can be coded alone if it starts this many latent frames early.
ENCODE_LEAD, DECODE_LEAD = 2, 4


class Codec:
    """Encoder and decoder of a VAE file.

    Pictures are uint8 [clips, 1 + 4 n, rows, columns, 3], latents float32 [clips, 1 + n, LATENTS, rows / 8,
    columns / 8] on the codec's device.

    path  a VAE file in the Wan 2.1 layout whose convolutions over space look at one picture alone.

    Raises FileNotFoundError, or ValueError for a file that is no such VAE.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu"):
        self.path = Path(path)
        self.device = torch.device(device)
        self.model = read_vae(self.path).to(self.device, memory_format=torch.channels_last)
        self._mean = torch.tensor(WAN_MEAN, device=self.device).view(-1, 1, 1)
        self._std = torch.tensor(WAN_STD, device=self.device).view(-1, 1, 1)

    @property
    def digest(self) -> str:
        """12 hex digits of the file's content, for names of files that are computed with it."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]

    @torch.inference_mode()
    def encode(self, pictures: np.ndarray) -> Tensor:
        """Encode pictures to latents."""
        x = torch.from_numpy(pictures).to(self.device).movedim(-1, -3).float() / 127.5 - 1
        with mixed_precision(self.device):
            raw = self.model.encode(x)
        return (raw.float() - self._mean) / self._std

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Decode latents, on any device, to pictures."""
        raw = latents.to(self.device).float() * self._std + self._mean
        with mixed_precision(self.device):
            pictures = self.model.decode(raw)
        shown = (pictures.float().clamp(-1, 1) + 1) * 127.5
        return shown.round().to(torch.uint8).movedim(-3, -1).cpu().numpy()

    def decode_part(self, latents: Tensor, first: int, end: int) -> np.ndarray:
        """Decode latent frames `first` up to, not including, `end` of the whole `latents`.

        Returns their pictures as `decode` of all latents would give them.
        """
        start = max(0, first - DECODE_LEAD)
        pictures = self.decode(latents[:, start:end])
        return pictures[:, -FRAMES_PER_LATENT * (end - first) :] if first else pictures


def read_vae(path: Path) -> VideoAutoencoder:
    """Read the network of a VAE file, in float32, for evaluation.

    Raises FileNotFoundError, or ValueError for a file that is no VAE of a tiny story model.
    """
    stored = read_checkpoint(path).tensors
    width = len(stored["encoder.conv1.weight"]) if "encoder.conv1.weight" in stored else 0
    model = VideoAutoencoder(width) if width else None
    if model is None or set(model.state_dict()) != set(stored):
        raise ValueError(f"{path.name} is no VAE of a tiny story model: name a file that training.train_vae exported.")
    for name, layer in model.named_modules():
        if isinstance(layer, (Conv, TimeConv)):
            stored[f"{name}.weight"] = _flat(path, f"{name}.weight", stored[f"{name}.weight"], layer)
    model.load_state_dict({name: value.float() for name, value in stored.items()})
    return model.eval().requires_grad_(False)


def _flat(path: Path, name: str, weight: Tensor, layer: Conv | TimeConv) -> Tensor:
    """Return a convolution's weight without the axes that only the Wan layout has."""
    if isinstance(layer, TimeConv):
        return weight[..., 0, 0]
    if weight.ndim == 4:
        return weight
    if bool(weight[:, :, :-1].any()):
        raise ValueError(f"{path.name} mixes pictures in {name}, which this codec does not: use ComfyUI's own VAE.")
    return weight[:, :, -1]
