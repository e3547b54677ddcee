"""How well the video autoencoder shows whole stories that it was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cartoons.clips import render_with_mask
from ..cartoons.story import render, sample_story
from .trainer import SEED, VaeTrainer, to_signed

# latent frames that are coded at a time, and so many before them that nothing earlier matters
_STRETCH, _LEAD = 24, 4


@dataclass
class VaeScores:
    """PSNR in decibels from errors pooled over whole unseen stories, clamped to what can be shown."""

    whole: float
    by_place: list[float]  # in the group of 4 pictures
    character: float  # pixels that show one
    noisy: float  # as `whole`, with noise of 0.1 deviations on the latents
    worst_story: float

    def line(self) -> str:
        places = " ".join(f"{value:.1f}" for value in self.by_place)
        return (
            f"stories {self.whole:.2f} dB, by place {places}, characters {self.character:.2f}, "
            f"noisy {self.noisy:.2f}, worst {self.worst_story:.2f}"
        )


@torch.no_grad()
def evaluate(run: VaeTrainer, stories: int, first_seed: int = 0) -> VaeScores:
    """Encode and decode whole stories that training never sees."""
    squared, noisy, places, inside = [], [], [], []
    for seed in range(first_seed, first_seed + stories):
        pictures, character = render_with_mask(sample_story(seed))
        truth = to_signed(torch.from_numpy(pictures)[None]).to(run.device)
        latents = encode(run, truth)
        error = (decode(run, latents) - truth)[0].square().mean(1).cpu()
        std = latents.std((0, 1, 3, 4), keepdim=True)
        shaken = latents + 0.1 * std * torch.randn_like(latents)
        noisy.append((decode(run, shaken) - truth).square().mean().item() * len(pictures))
        squared.append(error)
        inside.append(error[torch.from_numpy(character)])
        places.append(error[1:].mean((1, 2)).unflatten(0, (-1, 4)))
    frames = sum(map(len, squared))
    return VaeScores(
        psnr(sum(error.mean((1, 2)).sum() for error in squared) / frames),
        [psnr(value) for value in torch.cat(places).mean(0)],
        psnr(torch.cat(inside).mean()),
        psnr(sum(noisy) / frames),
        min(psnr(error.mean()) for error in squared),
    )


def encode(run: VaeTrainer, pictures: Tensor) -> Tensor:
    """A story [1, 1 + 4 n, 3, rows, columns] -> raw latents [1, 1 + n, LATENTS, rows / 8, columns / 8]."""
    pieces = []
    for start, lead, end in _pieces(1 + pictures.shape[1] // 4):
        part = pictures[:, 4 * (start - lead) : 4 * end - 3]
        with torch.autocast(run.device.type, torch.bfloat16):
            pieces.append(run.average.encode(part).float()[:, lead:])
    return torch.cat(pieces, 1)


def decode(run: VaeTrainer, latents: Tensor) -> Tensor:
    """What `encode` gives -> pictures, clamped to what can be shown."""
    pieces = []
    for start, lead, end in _pieces(latents.shape[1]):
        with torch.autocast(run.device.type, torch.bfloat16):
            shown = run.average.decode(latents[:, start - lead : end]).float().clamp(-1, 1)
        pieces.append(shown[:, -4 * (end - start) :] if lead else shown)
    return torch.cat(pieces, 1)


def _pieces(latent_frames: int) -> list[tuple[int, int, int]]:
    """(start, lead, end) of stretches that fit into memory: code from `start - lead`, keep from `start`."""
    starts = range(0, latent_frames, _STRETCH)
    return [(start, min(start, _LEAD), min(start + _STRETCH, latent_frames)) for start in starts]


def psnr(squared: Tensor | float) -> float:
    """Decibels for a mean squared error on the scale -1..1."""
    return -10 * math.log10(max(float(squared), 1e-12) / 4)


@torch.no_grad()
def latent_statistics(run: VaeTrainer, stories: int = 40) -> tuple[Tensor, Tensor]:
    """(mean, std) of the raw latents per channel, over training stories."""
    latents = [
        encode(run, to_signed(torch.from_numpy(render(sample_story(SEED + n)))[None]).to(run.device))
        for n in range(stories)
    ]
    together = torch.cat([z[0].movedim(1, 0).flatten(1) for z in latents], 1).double()
    return together.mean(1), together.std(1)
