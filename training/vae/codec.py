"""The tiny story model's VAE as plain torch: stories to latents and back, with no ComfyUI.

Reads the files that `training.train_vae --export` writes. Latents are in the model's space,
that is as ComfyUI hands them to a sampler: about zero mean and unit variance per channel.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memflow_core.weights import read_checkpoint

from .autoencoder import WAN_MEAN, WAN_STD, Conv, TimeConv, VideoAutoencoder

GROUP = 4  # pictures of a latent frame; the first latent frame of a story has one
# A latent frame is made of its own pictures and three before them, and seen in its own pictures and those of at most
# three latent frames after it. So a stretch can be coded alone if it starts this many latent frames early.
ENCODE_LEAD, DECODE_LEAD = 2, 4


class Codec:
    """Pictures uint8 [clips, 1 + 4 n, rows, columns, 3] <-> latents [clips, 1 + n, LATENTS, rows / 8, columns / 8].

    path  a VAE file in the Wan 2.1 layout whose convolutions over space look at one picture alone.

    Raises FileNotFoundError, or ValueError for a file that is no such VAE.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu"):
        self.path, self.device = Path(path), torch.device(device)
        self.model = read_vae(self.path).to(self.device, memory_format=torch.channels_last)
        self._mean = torch.tensor(WAN_MEAN, device=self.device).view(-1, 1, 1)
        self._std = torch.tensor(WAN_STD, device=self.device).view(-1, 1, 1)

    @property
    def digest(self) -> str:
        """Names the file's content, for what is computed with it and kept."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]

    @torch.inference_mode()
    def encode(self, pictures: np.ndarray) -> Tensor:
        x = torch.from_numpy(pictures).to(self.device).movedim(-1, -3).float() / 127.5 - 1
        with torch.autocast(self.device.type, torch.bfloat16):
            raw = self.model.encode(x)
        return (raw.float() - self._mean) / self._std

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        raw = latents.to(self.device).float() * self._std + self._mean
        with torch.autocast(self.device.type, torch.bfloat16):
            pictures = self.model.decode(raw)
        shown = (pictures.float().clamp(-1, 1) + 1) * 127.5
        return shown.round().to(torch.uint8).movedim(-3, -1).cpu().numpy()

    def decode_part(self, latents: Tensor, first: int, end: int) -> np.ndarray:
        """Pictures of latent frames `first` to `end` of the whole `latents`, as `decode` of all would show them."""
        start = max(0, first - DECODE_LEAD)
        pictures = self.decode(latents[:, start:end])
        return pictures[:, -GROUP * (end - first) :] if first else pictures


def read_vae(path: Path) -> VideoAutoencoder:
    """The network behind a VAE file, in float32."""
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
    """A convolution's weight without the axes that it has for the layout's sake."""
    if isinstance(layer, TimeConv):
        return weight[..., 0, 0]
    if weight.ndim == 4:
        return weight
    if bool(weight[:, :, :-1].any()):
        raise ValueError(f"{path.name} mixes pictures in {name}, which this codec does not: use ComfyUI's own VAE.")
    return weight[:, :, -1]
