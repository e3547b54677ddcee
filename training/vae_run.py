"""One run of training the video autoencoder: what it learns from, its state, its steps."""

from __future__ import annotations

import copy
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .clips import batch
from .muon import Muon
from .vae import LATENTS, Conv, TimeConv, VideoAutoencoder
from .world import SIZE

SEED = 1_000_000  # stories and clips of smaller seeds are never trained on


@dataclass
class Settings:
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


class Batches(Dataset):
    """Batch number n, the same at every run: most are clips of 9 or 13 pictures, some single pictures.

    Three of five are half as wide and twice as many, for what is hard to learn is the characters.
    """

    def __init__(self, settings: Settings):
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


class Training:
    """A run: model, its running average, optimizers, and how far it is."""

    def __init__(self, settings: Settings, device: str):
        self.settings, self.device, self.step = settings, torch.device(device), 0
        self.model = VideoAutoencoder(settings.width, settings.seed).to(self.device)
        self.model.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.std = torch.ones(LATENTS, device=self.device)
        layers = [layer for layer in self.model.modules() if isinstance(layer, (Conv, TimeConv))]
        matrices = [layer.weight for layer in layers]
        ids = {id(weight) for weight in matrices}
        self.vectors = [weight for weight in self.model.parameters() if id(weight) not in ids]
        self.optimizers = [
            Muon(matrices, settings.lr),
            torch.optim.AdamW(self.vectors, settings.lr, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def learn(self, pictures: Tensor, character: Tensor) -> float:
        """One step. Returns the loss."""
        torch.manual_seed(self.settings.seed + self.step)  # a run that was interrupted draws the same noise
        x = to_model(pictures.to(self.device))
        weight = 1 + 3 * character.to(self.device)[:, :, None]
        with torch.autocast(self.device.type, torch.bfloat16):
            latents = self.model.encode(x).float()
            shown = self.model.decode(self._noisy(latents)).float()
        # latents that grow without need would make noise count for less
        loss = picture_loss(shown, x, weight) + 1e-3 * latents.square().mean()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.vectors, 1.0)
        self._set_rate()
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self._follow()
        return loss.item()

    def _noisy(self, latents: Tensor) -> Tensor:
        std = latents.detach().movedim(2, 0).flatten(1).std(1)
        self.std.lerp_(std, 0.05 if self.step > 20 else 0.5)
        # in every clip another strength, so that the encoder cannot escape by larger latents
        strength = self.settings.noise * torch.rand(len(latents), 1, 1, 1, 1, device=self.device)
        return latents + strength * self.std.view(1, 1, -1, 1, 1) * torch.randn_like(latents)

    def _set_rate(self) -> None:
        s = self.settings
        factor = min((self.step + 1) / 20, max(0.01, 1 - self.step / s.steps))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = s.lr * factor

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the model: over more steps, the longer it has been trained."""
        keep = min(0.998, (self.step + 1) / (self.step + 20))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)

    def save(self, path: Path) -> None:
        """Write all that is needed to go on; the old file stays until the new one is whole."""
        state = {
            "settings": asdict(self.settings),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "std": self.std,
        }
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote. The optimizers' rates and the rest of the settings are this run's."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.std.copy_(state["std"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.settings.frozen:
            self._freeze_encoder()

    def _freeze_encoder(self) -> None:
        for part in ("encoder", "conv1"):
            kept = self.average.get_submodule(part).state_dict()
            self.model.get_submodule(part).requires_grad_(False).load_state_dict(kept)


def to_model(pictures: Tensor) -> Tensor:
    """uint8 [..., rows, columns, 3] -> [..., 3, rows, columns] in -1..1."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


def picture_loss(shown: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted absolute and squared error, and the error of the edges."""
    error = shown - truth
    plain = (weight * (error.abs() + 1.5 * error.square())).mean()
    return plain + 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())
