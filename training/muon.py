"""Muon optimizer: momentum steps whose matrices are orthogonalised first (K. Jordan and others, 2024)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from .precision import product_dtype

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # the published quintic, which makes singular values near 1, not exactly 1
_ROUNDS = 5
_STEP_RMS = 0.2  # root mean square of a step in learning rates, about that of Adam's steps


class Muon(torch.optim.Optimizer):
    """Muon for weights of two and more dimensions, taken as matrices [first dimension, the others].

    decay  weight decay, decoupled as in AdamW.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.9, decay: float = 0.01):
        super().__init__(weights, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for weights in by_shape.values():
                self._step(weights, group)

    def _step(self, weights: list[Tensor], group: dict) -> None:
        """Step weights of one shape, whose matrices are orthogonalised together."""
        for weight in weights:
            state = self.state[weight]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].mul_(group["momentum"]).add_(weight.grad)
        # Nesterov's momentum
        ahead = [weight.grad + group["momentum"] * self.state[weight]["momentum"] for weight in weights]
        stacked = torch.stack([step.flatten(1) for step in ahead])
        steps = orthogonalise(stacked.to(product_dtype(stacked.device)))
        size = _STEP_RMS * max(steps.shape[1:]) ** 0.5
        for weight, step in zip(weights, steps, strict=True):
            weight.mul_(1 - group["lr"] * group["decay"])
            weight.sub_(step.reshape(weight.shape).to(weight.dtype), alpha=group["lr"] * size)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring all singular values of matrices near 1, by Newton-Schulz iteration: [n, rows, columns] -> the same."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
