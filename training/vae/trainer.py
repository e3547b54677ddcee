"""One run of training the video autoencoder: what it learns from, its state, its steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..cartoons.clips import batch
from ..cartoons.world import SIZE
from ..muon import Muon
from ..trainer import Trainer
from .autoencoder import LATENTS, Conv, TimeConv, VideoAutoencoder

SEED = 1_000_000  # stories and clips of smaller seeds are never trained on


@dataclass
class VaeSettings:
    """What a run is trained with; kept in its checkpoint.

    steps    in all.
    stills   of which so many first ones see single pictures alone.
    lr       of Muon for the matrices and Adam for the vectors; falls to nothing in a straight line.
    noise    most noise that is put on latents, in their standard deviations.
    frozen   the latents stay what they are and the decoder alone learns on, so that a generator can be trained
             at the same time.
    """

    steps: int = 6000
    stills: int = 300
    clips: int = 4
    width: int = 16
    lr: float = 0.008
    noise: float = 0.2
    seed: int = SEED
    frozen: bool = False


class ClipBatches(Dataset):
    """Batch number n, the same at every run: most are clips of 9 or 13 pictures, some single pictures.

    Three of five are half as wide and twice as many, for what is hard to learn is the characters.
    """

    def __init__(self, settings: VaeSettings):
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """(pictures uint8 [clips, frames, rows, columns, 3], characters bool [clips, frames, rows, columns])"""
        s = self.settings
        if step < s.stills or step % 10 == 0:
            clips, frames = 8 * s.clips, 1
        else:
            clips, frames = s.clips, (9, 13)[step % 2]
        clips, columns = (2 * clips, SIZE // 2) if step % 5 in (1, 2, 4) else (clips, SIZE)
        return tuple(map(torch.from_numpy, batch(s.seed, step, clips, frames, columns)))


class VaeTrainer(Trainer):
    """A run of the video autoencoder."""

    def __init__(self, settings: VaeSettings, device: str):
        self.device = torch.device(device)
        model = VideoAutoencoder(settings.width, settings.seed).to(self.device, memory_format=torch.channels_last)
        self.std = torch.ones(LATENTS, device=self.device)
        matrices = [layer.weight for layer in model.modules() if isinstance(layer, (Conv, TimeConv))]
        ids = {id(weight) for weight in matrices}
        vectors = [weight for weight in model.parameters() if id(weight) not in ids]
        adam = torch.optim.AdamW(vectors, settings.lr, betas=(0.9, 0.98), weight_decay=0.0)
        optimizers = [(Muon(matrices, settings.lr), settings.lr), (adam, settings.lr)]
        super().__init__(settings, model, optimizers, vectors, memory=500)

    def train_step(self, pictures: Tensor, character: Tensor) -> float:
        """One step. Returns the loss."""
        torch.manual_seed(self.settings.seed + self.step)  # a run that was interrupted draws the same noise
        x = to_signed(pictures.to(self.device))
        weight = 1 + 3 * character.to(self.device)[:, :, None]
        with torch.autocast(self.device.type, torch.bfloat16):
            latents = self.model.encode(x).float()
            shown = self.model.decode(self._noisy(latents)).float()
        # latents that grow without need would make noise count for less
        loss = picture_loss(shown, x, weight) + 1e-3 * latents.square().mean()
        self.optimizer_step(loss, min((self.step + 1) / 20, max(0.01, 1 - self.step / self.settings.steps)))
        return loss.item()

    def _noisy(self, latents: Tensor) -> Tensor:
        std = latents.detach().movedim(2, 0).flatten(1).std(1)
        self.std.lerp_(std, 0.05 if self.step > 20 else 0.5)
        # in every clip another strength, so that the encoder cannot escape by larger latents
        strength = self.settings.noise * torch.rand(len(latents), 1, 1, 1, 1, device=self.device)
        return latents + strength * self.std.view(1, 1, -1, 1, 1) * torch.randn_like(latents)

    def save(self, path: Path) -> None:
        super().save(path, std=self.std)

    def load(self, path: Path) -> None:
        self.std.copy_(super().load(path)["std"])
        self._freeze()

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        super().load_weights(weights)
        self._freeze()

    def _freeze(self) -> None:
        """If the settings say so, keep the averaged encoder as it is from now on."""
        for part in ("encoder", "conv1") if self.settings.frozen else ():
            kept = self.average.get_submodule(part).state_dict()
            self.model.get_submodule(part).requires_grad_(False).load_state_dict(kept)


def to_signed(pictures: Tensor) -> Tensor:
    """uint8 [..., rows, columns, 3] -> [..., 3, rows, columns] in -1..1."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


def picture_loss(shown: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted absolute and squared error, and the error of the edges."""
    error = shown - truth
    plain = (weight * (error.abs() + 1.5 * error.square())).mean()
    return plain + 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())
