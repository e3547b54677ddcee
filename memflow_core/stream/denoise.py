"""Denoise one chunk: which timesteps, how many noise tensors, and the way from one step to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from torch import Tensor

from ..config import SamplingConfig
from .flow import FlowSchedule
from .unipc import UniPC, unipc_sigmas, unipc_timesteps

Predict = Callable[[int, float, Tensor], Tensor]
"""The model's flow at (step, timestep, x [B, C, F, h, w]), as x."""


def denoising_timesteps(config: SamplingConfig, chunk: int = 1) -> list[float]:
    """The timesteps a chunk is denoised at, first to last. chunk: its number; the first, 0, may have its own list."""
    return list(_timesteps(config, config.steps_of(chunk)))


@lru_cache
def _timesteps(config: SamplingConfig, steps: tuple[int, ...]) -> tuple[float, ...]:
    if config.solver == "unipc":
        return tuple(unipc_timesteps(steps, config.shift))
    if config.warp:
        return tuple(FlowSchedule(config.shift).warp(steps))
    return tuple(float(step) for step in steps)


class Denoiser:
    """Denoises chunks by a stream's sampling settings."""

    def __init__(self, config: SamplingConfig):
        self.config = config
        self._flow = FlowSchedule(config.shift)

    def draws(self, chunk: int) -> int:
        """Noise tensors that a chunk takes."""
        return 1 if self.config.solver == "unipc" else len(self.config.steps_of(chunk))

    def run(
        self, chunk: int, noise: Sequence[Tensor], predict: Predict, start: Tensor | None = None, first: int = 0
    ) -> Tensor:
        """Denoise a chunk: noise, each [B, C, F, h, w] -> its clean latents, alike.

        start  clean latents, alike, that it is made from: they are noised to step `first`, and the steps before it are
               left out. None: it is made from noise, in all steps.
        """
        timesteps = denoising_timesteps(self.config, chunk)
        x, *renoise = noise
        if self.config.solver == "unipc":
            path = UniPC(unipc_sigmas(self.config.steps_of(chunk), self.config.shift))
            if start is not None:
                sigma = path.sigmas[first]
                x = (1 - sigma) * start + sigma * x
            for step, timestep in list(enumerate(timesteps))[first:]:
                x = path.step(step, x, predict(step, timestep, x))
            return x
        if start is not None:
            x = self._flow.add_noise(start, x, timesteps[first])
        x0 = x
        for step, timestep in list(enumerate(timesteps))[first:]:
            x0 = self._flow.x0(x, predict(step, timestep, x), timestep)
            if step + 1 < len(timesteps):
                x = self._flow.add_noise(x0, renoise[step], timesteps[step + 1])
        return x0
