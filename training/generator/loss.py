"""Noise levels of training, and the loss that aligns text keys with the keys of the frames they should find."""

from __future__ import annotations

import torch
from torch import Tensor

from memflow_core.config import SamplingConfig
from memflow_core.memory import PromptKeys
from memflow_core.stream import denoising_timesteps

from .samples import SampleBatch

SAMPLING = SamplingConfig()
STEP_SIGMAS = tuple(timestep / 1000 for timestep in denoising_timesteps(SAMPLING))
ON_THE_STEPS = 0.75  # share of noisy copies at exactly the noise levels of the sampler's steps
CONTEXT_NOISE = 0.12  # most noise on a context, as a share
NOISY_CONTEXTS = 0.7  # share of samples with noise on their context


def draw_sigmas(samples: int, copies: int, device: torch.device) -> Tensor:
    """Draw noise levels: mostly those of the sampler's four steps, the others spread as its shifted schedule.

    Levels are sigmas of flow matching (0: clean, 1: noise), with the timestep shift of Self-Forcing's sampler. Returns
    float32 [samples, copies].
    """
    steps = torch.tensor(STEP_SIGMAS, device=device)[torch.randint(len(STEP_SIGMAS), (samples, copies), device=device)]
    u = torch.rand(samples, copies, device=device)
    spread = SAMPLING.shift * u / (1 + (SAMPLING.shift - 1) * u)
    return torch.where(torch.rand(samples, copies, device=device) < ON_THE_STEPS, steps, spread.clamp(min=0.02))


def add_context_noise(context: Tensor) -> Tensor:
    """Add a little noise to most contexts, in the place of the errors of a stream's own latents.

    context, and the result, are float32 [rows, C, h, w] of one stream.
    """
    strength = CONTEXT_NOISE * torch.rand((), device=context.device)
    strength = strength * (torch.rand((), device=context.device) < NOISY_CONTEXTS)
    return (1 - strength) * context + strength * torch.randn_like(context)


def alignment_loss(keys: PromptKeys, mean_k: list[Tensor], batch: SampleBatch, target_prompts: Tensor) -> Tensor:
    """Contrastive loss of the score by which text keys choose frames (`MemoryBank.relevance`).

    The score is that of Narrative Adaptive Memory (NAM, arXiv 2512.14699). Nothing else in training couples
    cross-attention's text keys with self-attention's visual keys. Over the context frames of the whole batch, those
    that show a character of the target chunk shall score above all others, and those that show any character above
    empty scenes, which no prompt needs.

    keys            text keys of the batch's prompts.
    mean_k          mean key of every context frame: float32 [B, heads, CONTEXT, head_dim] for each layer.
    target_prompts  of the target chunks, int64 [B]: rows of `keys`.

    Returns a scalar.
    """
    samples, context = batch.valid.shape
    usable = (batch.valid & batch.own_prompt).flatten()
    shows_target = (batch.casts.flatten() & batch.cast[:, None]) != 0  # [B, B * context]
    shows_any = (batch.casts.flatten() != 0).expand_as(shows_target)
    losses = []
    for text_keys in (keys.own_k, keys.mean_k):
        for layer, visual in enumerate(mean_k):
            heads, width = visual.shape[1], visual.shape[-1]
            frames = visual[:, :, :context].transpose(1, 2).reshape(samples * context, heads * width)
            query = text_keys[layer][target_prompts].flatten(1).float()
            scores = (query @ frames.T / (heads * width**0.5)).masked_fill(~usable, -torch.inf)
            losses += [_contrast(scores, wanted & usable) for wanted in (shows_target, shows_any)]
    return torch.stack(losses).mean()


def _contrast(scores: Tensor, wanted: Tensor) -> Tensor:
    """Mean over rows of -log(share of softmax on wanted columns); rows without a wanted column are left out."""
    counts = wanted.any(dim=-1)
    share = scores.masked_fill(~wanted, -1e4).logsumexp(-1) - scores.clamp(min=-1e4).logsumexp(-1)
    return -(share * counts).sum() / counts.sum().clamp(min=1)
