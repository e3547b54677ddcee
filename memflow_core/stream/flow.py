"""Flow matching: sigma table, step list, noising and the x0 estimate.

The convention is Self-Forcing's (arXiv 2506.08009), which MemFlow's weights were distilled with: rectified flow,
x_t = (1 - sigma) x0 + sigma noise, the model predicts noise - x0, and time is a table of 1000 shifted sigmas.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import widest

TRAIN_STEPS = 1000


class FlowSchedule:
    """Shifted flow-matching table: sigma_i = s u / (1 + (s - 1) u), u = 1 - i / 1000, i = 0..999.

    A timestep stands for the sigma of the nearest table entry, so 0 means the last one (0.00498 at shift 5),
    as in the code that the weights were distilled with.

    sigmas     [1000] float32, falling.
    timesteps  [1000] float32: sigmas x 1000.
    """

    def __init__(self, shift: float = 5.0):
        u = torch.linspace(1.0, 0.0, TRAIN_STEPS + 1)[:-1]
        self.sigmas = shift * u / (1 + (shift - 1) * u)
        self.timesteps = self.sigmas * TRAIN_STEPS
        self._known: dict[float, float] = {}

    def warp(self, steps: tuple[int, ...]) -> list[float]:
        """Timesteps of a denoising step list, (1000, 750, 500, 250) -> [1000, 937.5, 833.33, 625] at shift 5."""
        table = torch.cat((self.timesteps, torch.zeros(1)))
        return [float(table[TRAIN_STEPS - step]) for step in steps]

    def sigma(self, timestep: float) -> float:
        """Sigma of the nearest table timestep."""
        if timestep not in self._known:
            self._known[timestep] = float(self.sigmas[torch.argmin((self.timesteps - timestep).abs())])
        return self._known[timestep]

    def add_noise(self, x0: Tensor, noise: Tensor, timestep: float) -> Tensor:
        """(1 - sigma) x0 + sigma noise, computed in float32; in x0's dtype and shape, any."""
        sigma = self.sigma(timestep)
        return ((1 - sigma) * x0.float() + sigma * noise.float()).to(x0.dtype)

    def x0(self, xt: Tensor, flow: Tensor, timestep: float) -> Tensor:
        """Clean estimate xt - sigma flow, computed in float64; in xt's dtype and shape, any."""
        wide = widest(xt.device)
        return (xt.to(wide) - self.sigma(timestep) * flow.to(wide)).to(xt.dtype)
