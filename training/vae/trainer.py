"""Train the video autoencoder: settings, batches of clips, and one step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..cartoons import SIZE, clip_batch
from ..muon import Muon
from ..precision import mixed_precision
from ..trainer import Trainer
from .autoencoder import LATENTS, Conv, TimeConv, VideoAutoencoder

FIRST_TRAINING_SEED = 1_000_000  # stories and clips of smaller seeds are never trained on


@dataclass
class VaeSettings:
    """Settings of a run, kept in its checkpoint.

    steps    in all.
    stills   number of first steps that see single pictures alone.
    clips    clips of the full width in a batch.
    width    base width of the autoencoder.
    lr       of Muon for the matrices and Adam for the vectors; falls linearly to zero.
    noise    most noise that is put on latents, in their standard deviations.
    frozen   keep the latents and train the decoder alone, so that a generator can be trained at the same time.
    """

    steps: int = 6000
    stills: int = 300
    clips: int = 4
    width: int = 16
    lr: float = 0.008
    noise: float = 0.2
    seed: int = FIRST_TRAINING_SEED
    frozen: bool = False


class ClipBatches(Dataset):
    """Batches of clips by step, the same in every run: most are clips of 9 or 13 pictures, some single pictures.

    In three of five the clips are half as wide and twice as many: the characters are what is hard to learn.
    """

    def __init__(self, settings: VaeSettings):
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw the batch of a step.

        Returns (pictures, uint8 [clips, frames, rows, columns, 3]; where a character is, bool
        [clips, frames, rows, columns]).
        """
        s = self.settings
        if step < s.stills or step % 10 == 0:
            clips, frames = 8 * s.clips, 1
        else:
            clips, frames = s.clips, (9, 13)[step % 2]
        clips, columns = (2 * clips, SIZE // 2) if step % 5 in (1, 2, 4) else (clips, SIZE)
        pictures, mask = clip_batch(s.seed, step, clips, frames, columns)
        return torch.from_numpy(pictures), torch.from_numpy(mask)


class VaeTrainer(Trainer):
    """Trainer of the video autoencoder."""

    def __init__(self, settings: VaeSettings, device: str):
        self.device = torch.device(device)
        model = VideoAutoencoder(settings.width, settings.seed).to(self.device, memory_format=torch.channels_last)
        self.std = torch.ones(LATENTS, device=self.device)
        matrices = [layer.weight for layer in model.modules() if isinstance(layer, (Conv, TimeConv))]
        ids = {id(weight) for weight in matrices}
        vectors = [weight for weight in model.parameters() if id(weight) not in ids]
        adam = torch.optim.AdamW(vectors, settings.lr, betas=(0.9, 0.98), weight_decay=0.0)
        optimizers = [(Muon(matrices, settings.lr), settings.lr), (adam, settings.lr)]
        super().__init__(settings, model, optimizers=optimizers, clipped=vectors, average_steps=500)

    def train_step(self, pictures: Tensor, character: Tensor) -> float:
        """Take one step on a batch of `ClipBatches`. Returns the loss."""
        torch.manual_seed(self.settings.seed + self.step)  # a run that was interrupted draws the same noise
        x = to_signed(pictures.to(self.device))
        weight = 1 + 3 * character.to(self.device)[:, :, None]
        with mixed_precision(self.device):
            latents = self.model.encode(x).float()
            shown = self.model.decode(self._add_noise(latents)).float()
        # keeps latents small: larger ones would make the noise count for less
        loss = picture_loss(shown, x, weight) + 1e-3 * latents.square().mean()
        self.optimizer_step(loss, min((self.step + 1) / 20, max(0.01, 1 - self.step / self.settings.steps)))
        return loss.item()

    def _add_noise(self, latents: Tensor) -> Tensor:
        std = latents.detach().movedim(2, 0).flatten(1).std(1)
        self.std.lerp_(std, 0.05 if self.step > 20 else 0.5)
        # another strength in every clip, so that the encoder cannot escape the noise by larger latents
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
    """Convert pictures, uint8 [..., rows, columns, 3], to float32 [..., 3, rows, columns] in -1..1."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


def picture_loss(shown: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted absolute and squared error plus the error of the edges, a scalar.

    shown, truth  [clips, frames, 3, rows, columns] in -1..1.
    weight        of each pixel, [clips, frames, 1, rows, columns].
    """
    error = shown - truth
    plain = (weight * (error.abs() + 1.5 * error.square())).mean()
    return plain + 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())
