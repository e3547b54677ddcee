"""UniPC for rectified flow (arXiv 2302.04867): from noise to picture along one path, with no noise added on the way.

It is the solver of LongLive 2's published program: order 2, B(h) = e^h - 1, estimates of the clean chunk x0, a
corrector after every step but the first, and a last step of order 1. With alpha = 1 - sigma, lambda = log(alpha /
sigma) and h = lambda_t - lambda_s, all steps have the form

    x_t = sigma_t / sigma_s x_s - alpha_t (e^-h - 1) (x0_s + sum of rho_k D_k)

where D_k are differences of earlier or later estimates of x0 to that at s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..model import widest
from .flow import TRAIN_STEPS

# the published table of sigmas ends a step before pure noise
HIGHEST = 1 - 1 / TRAIN_STEPS


def unipc_sigmas(steps: tuple[int, ...], shift: float) -> list[float]:
    """Sigmas of a step list: (1000, 750, 500, 250) -> 0.9998, 0.9373, 0.8331, 0.6247 at shift 5."""
    unshifted = [HIGHEST * step / TRAIN_STEPS for step in steps]
    return [shift * u / (1 + (shift - 1) * u) for u in unshifted]


def unipc_timesteps(steps: tuple[int, ...], shift: float) -> list[float]:
    """Timesteps that the model is told, whole numbers: (1000, 750, 500, 250) -> 999, 937, 833, 624 at shift 5."""
    return [float(int(sigma * TRAIN_STEPS)) for sigma in unipc_sigmas(steps, shift)]


@dataclass
class UniPC:
    """The path of one chunk. Give it the model's flow step by step.

    sigmas  of the steps, falling; none is 0, where the path ends.
    """

    sigmas: list[float]
    _estimates: list[Tensor] = field(default_factory=list)
    _sample: Tensor | None = None
    _order: int = 1

    def step(self, number: int, x: Tensor, flow: Tensor) -> Tensor:
        """From step `number` to the next: x and flow [B, C, F, h, w] -> as x, of its dtype. Computed in float64."""
        wide = widest(x.device)
        sample = x.to(wide)
        x0 = sample - self.sigmas[number] * flow.to(wide)
        if self._sample is not None:
            sample = self._correct(number, x0, self._sample)
        self._estimates = [*self._estimates[-1:], x0]
        self._sample = sample
        if number + 1 == len(self.sigmas):
            return x0.to(x.dtype)
        # the last step but the end, and the first, know too little for more
        self._order = min(2, len(self._estimates), len(self.sigmas) - number)
        return self._predict(number, sample).to(x.dtype)

    def _predict(self, number: int, sample: Tensor) -> Tensor:
        current = self._estimates[-1]
        change = torch.zeros_like(current)
        if self._order == 2:
            h = self._lambda(number + 1) - self._lambda(number)
            back = (self._lambda(number - 1) - self._lambda(number)) / h
            change = 0.5 * (self._estimates[-2] - current) / back
        return self._moved(number, number + 1, sample, current + change)

    def _correct(self, number: int, x0: Tensor, sample: Tensor) -> Tensor:
        """The sample at step `number` once more, now that the model's estimate there is known."""
        before = self._estimates[-1]
        later = x0 - before
        if self._order == 1:
            return self._moved(number - 1, number, sample, before + 0.5 * later)
        h = self._lambda(number) - self._lambda(number - 1)
        back = (self._lambda(number - 2) - self._lambda(number - 1)) / h
        earlier = (self._estimates[-2] - before) / back
        near, far = _corrector_weights(-h, back)
        return self._moved(number - 1, number, sample, before + near * earlier + far * later)

    def _moved(self, start: int, end: int, sample: Tensor, x0: Tensor) -> Tensor:
        h = self._lambda(end) - self._lambda(start)
        sigma = self.sigmas[end]
        return sigma / self.sigmas[start] * sample - (1 - sigma) * math.expm1(-h) * x0

    def _lambda(self, number: int) -> float:
        sigma = self.sigmas[number]
        return math.log(1 - sigma) - math.log(sigma)


def _corrector_weights(hh: float, back: float) -> tuple[float, float]:
    """rho of an earlier and of the later difference: the solution of rho_1 r^k + rho_2 = b_k for k = 0, 1."""
    growth = math.expm1(hh)
    phi_2 = growth / hh - 1
    phi_3 = phi_2 / hh - 0.5
    first, second = phi_2 / growth, 2 * phi_3 / growth
    near = (first - second) / (1 - back)
    return near, first - near
