"""Measure the video autoencoder on whole stories that it was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cartoons import FRAMES_PER_LATENT, render, render_with_mask, sample_story
from ..precision import mixed_precision
from .codec import DECODE_LEAD
from .trainer import FIRST_TRAINING_SEED, VaeTrainer, to_signed

_STRETCH = 24  # latent frames that are coded at a time


@dataclass
class VaeScores:
    """PSNR in decibels, from errors pooled over whole unseen stories; pictures are clamped to -1..1.

    whole        over all pixels.
    by_place     by place of a picture in its latent frame.
    character    over the pixels of characters.
    noisy        as `whole`, with noise of 0.1 deviations on the latents.
    worst_story  `whole` of the worst story.
    """

    whole: float
    by_place: list[float]
    character: float
    noisy: float
    worst_story: float

    def summary_line(self) -> str:
        places = " ".join(f"{value:.1f}" for value in self.by_place)
        return (
            f"stories {self.whole:.2f} dB, by place {places}, characters {self.character:.2f}, "
            f"noisy {self.noisy:.2f}, worst {self.worst_story:.2f}"
        )


@torch.no_grad()
def evaluate(run: VaeTrainer, stories: int, first_seed: int = 0) -> VaeScores:
    """Encode and decode whole stories that training never sees, from seed `first_seed` on."""
    squared, noisy, places, inside = [], [], [], []
    for seed in range(first_seed, first_seed + stories):
        pictures, character = render_with_mask(sample_story(seed))
        truth = to_signed(torch.from_numpy(pictures)[None]).to(run.device)
        latents = encode_story(run, truth)
        error = (decode_story(run, latents) - truth)[0].square().mean(1).cpu()
        std = latents.std((0, 1, 3, 4), keepdim=True)
        shaken = latents + 0.1 * std * torch.randn_like(latents)
        noisy.append((decode_story(run, shaken) - truth).square().mean().item() * len(pictures))
        squared.append(error)
        inside.append(error[torch.from_numpy(character)])
        places.append(error[1:].mean((1, 2)).unflatten(0, (-1, FRAMES_PER_LATENT)))
    frames = sum(map(len, squared))
    return VaeScores(
        whole=psnr(sum(error.mean((1, 2)).sum() for error in squared) / frames),
        by_place=[psnr(value) for value in torch.cat(places).mean(0)],
        character=psnr(torch.cat(inside).mean()),
        noisy=psnr(sum(noisy) / frames),
        worst_story=min(psnr(error.mean()) for error in squared),
    )


def encode_story(run: VaeTrainer, pictures: Tensor) -> Tensor:
    """Encode a whole story, float [1, 1 + 4 n, 3, rows, columns] in -1..1, piece by piece with the averaged model.

    Returns raw latents, float32 [1, 1 + n, LATENTS, rows / 8, columns / 8].
    """
    pieces = []
    for start, lead, end in _pieces(1 + pictures.shape[1] // FRAMES_PER_LATENT):
        part = pictures[:, FRAMES_PER_LATENT * (start - lead) : FRAMES_PER_LATENT * (end - 1) + 1]
        with mixed_precision(run.device):
            pieces.append(run.average.encode(part).float()[:, lead:])
    return torch.cat(pieces, 1)


def decode_story(run: VaeTrainer, latents: Tensor) -> Tensor:
    """Decode a whole story's raw latents, [1, 1 + n, LATENTS, rows / 8, columns / 8], with the averaged model.

    Returns pictures, float32 [1, 1 + 4 n, 3, rows, columns], clamped to -1..1.
    """
    pieces = []
    for start, lead, end in _pieces(latents.shape[1]):
        with mixed_precision(run.device):
            shown = run.average.decode(latents[:, start - lead : end]).float().clamp(-1, 1)
        pieces.append(shown[:, -FRAMES_PER_LATENT * (end - start) :] if lead else shown)
    return torch.cat(pieces, 1)


def _pieces(latent_frames: int) -> list[tuple[int, int, int]]:
    """Cut a story into stretches that fit into memory: (start, lead, end), coded from `start - lead` on.

    Latent frames before the lead have no effect on those from `start` on.
    """
    starts = range(0, latent_frames, _STRETCH)
    return [(start, min(start, DECODE_LEAD), min(start + _STRETCH, latent_frames)) for start in starts]


def psnr(squared: Tensor | float) -> float:
    """Return decibels of a mean squared error of pictures in -1..1."""
    return -10 * math.log10(max(float(squared), 1e-12) / 4)


@torch.no_grad()
def latent_statistics(run: VaeTrainer, stories: int = 40) -> tuple[Tensor, Tensor]:
    """Return (mean, std) of the raw latents over training stories, float64 [LATENTS] each."""
    latents = []
    for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + stories):
        pictures = torch.from_numpy(render(sample_story(seed)))[None]
        latents.append(encode_story(run, to_signed(pictures).to(run.device)))
    together = torch.cat([z[0].movedim(1, 0).flatten(1) for z in latents], 1).double()
    return together.mean(1), together.std(1)
