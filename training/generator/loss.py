"""What the generator is trained for: the flow from noise to picture, and text keys that find the right frames."""

from __future__ import annotations

import torch
from torch import Tensor

from memflow_core.config import SamplingConfig
from memflow_core.memory import PromptKeys
from memflow_core.stream import denoising_timesteps

from .samples import SampleBatch

SAMPLING = SamplingConfig()
STEP_SIGMAS = tuple(timestep / 1000 for timestep in denoising_timesteps(SAMPLING))
ON_THE_STEPS = 0.75  # share of noisy copies at exactly the sampler's own steps
CONTEXT_NOISE, NOISY_CONTEXTS = 0.12, 0.7


def draw_sigmas(samples: int, copies: int, device: torch.device) -> Tensor:
    """Noise levels [samples, copies]: mostly the sampler's four, the others spread as its schedule is."""
    steps = torch.tensor(STEP_SIGMAS, device=device)[torch.randint(len(STEP_SIGMAS), (samples, copies), device=device)]
    u = torch.rand(samples, copies, device=device)
    spread = SAMPLING.shift * u / (1 + (SAMPLING.shift - 1) * u)
    return torch.where(torch.rand(samples, copies, device=device) < ON_THE_STEPS, steps, spread.clamp(min=0.02))


def add_context_noise(context: Tensor) -> Tensor:
    """A little noise on most samples' context [B, frames, C, h, w], as errors of its own would be there."""
    shape, device = (len(context), 1, 1, 1, 1), context.device
    strength = CONTEXT_NOISE * torch.rand(shape, device=device)
    strength = strength * (torch.rand(shape, device=device) < NOISY_CONTEXTS)
    return (1 - strength) * context + strength * torch.randn_like(context)


def alignment_loss(keys: PromptKeys, mean_k: list[Tensor], batch: SampleBatch, target_prompts: Tensor) -> Tensor:
    """Contrast over the batch's context frames, for the score by which text keys choose frames (`Bank.relevance`).

    Nothing else in training couples cross-attention's text keys with self-attention's visual keys. Frames that show a
    character of the target chunk shall score above all others, and frames that show anybody above empty scenes, which
    no prompt needs remembered.

    mean_k          [B, heads, frames, head_dim] a layer, context first.
    target_prompts  [B]: rows of `keys`.
    """
    samples, context = batch.valid.shape
    usable = (batch.valid & batch.own).flatten()
    shows_target = (batch.casts.flatten() & batch.cast[:, None]) != 0  # [B, B * context]
    shows_anybody = (batch.casts.flatten() != 0).expand_as(shows_target)
    losses = []
    for text_keys in (keys.own_k, keys.mean_k):
        for layer, visual in enumerate(mean_k):
            heads, width = visual.shape[1], visual.shape[-1]
            frames = visual[:, :, :context].transpose(1, 2).reshape(samples * context, heads * width)
            asked = text_keys[layer][target_prompts].flatten(1).float()
            scores = (asked @ frames.T / (heads * width**0.5)).masked_fill(~usable, -torch.inf)
            losses += [_contrast(scores, wanted & usable) for wanted in (shows_target, shows_anybody)]
    return torch.stack(losses).mean()


def _contrast(scores: Tensor, wanted: Tensor) -> Tensor:
    """Mean over rows of -log(share of softmax that falls on wanted columns); rows that want nothing are left out."""
    counts = wanted.any(dim=-1)
    share = scores.masked_fill(~wanted, -1e4).logsumexp(-1) - scores.clamp(min=-1e4).logsumexp(-1)
    return -(share * counts).sum() / counts.sum().clamp(min=1)
