"""Base of all training runs: trainer with running average and checkpoint, gradients shared between processes."""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

SAVE_EVERY_S = 60.0


class Trainer:
    """Model in training: its optimizers, the running average of its weights, and its step.

    settings       a dataclass; kept in the checkpoint.
    optimizers     each with its highest learning rate.
    clipped        parameters whose gradient is clipped to a norm of 1.
    average_steps  the average looks back over so many steps, at most.
    """

    def __init__(
        self,
        settings: Any,
        model: nn.Module,
        *,
        optimizers: list[tuple[torch.optim.Optimizer, float]],
        clipped: list[Tensor],
        average_steps: int,
    ):
        self.settings = settings
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.step = 0
        self.optimizers = [optimizer for optimizer, _ in optimizers]
        self.rates = [rate for _, rate in optimizers]
        self._clipped = clipped
        self._average_steps = average_steps

    def optimizer_step(self, loss: Tensor, factor: float) -> None:
        """Step down the loss, a scalar, with `factor` times the learning rates."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.model)
        torch.nn.utils.clip_grad_norm_(self._clipped, 1.0)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
        self.step += 1
        self._update_average()

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average towards the model; it looks back over more steps, the more there have been."""
        keep = min(1 - 1 / self._average_steps, (self.step + 1) / (self.step + 20))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Start from the weights of a finished model instead of random ones."""
        for model in (self.model, self.average):
            model.load_state_dict(weights)

    def save(self, path: Path, **more: Tensor) -> None:
        """Write a checkpoint. The old file stays until the new one is whole."""
        state = {
            "settings": asdict(self.settings),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            **more,
        }
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def load(self, path: Path) -> dict[str, Any]:
        """Go on from a checkpoint that `save` wrote, with the settings of this trainer. Returns its content."""
        device = next(self.model.parameters()).device
        state = torch.load(path, map_location=device, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return state


def init_distributed() -> int:
    """Under torchrun, join the process group whose processes share each step's gradient. Returns this one's rank."""
    if "WORLD_SIZE" not in os.environ:
        return 0
    dist.init_process_group("gloo" if not torch.cuda.is_available() else "nccl")
    return dist.get_rank()


def average_gradients(model: nn.Module) -> None:
    """Replace gradients by their mean over all processes, which must have gradients for the same weights."""
    if not dist.is_initialized():
        return
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients]) / dist.get_world_size()
    dist.all_reduce(flat)
    for gradient, mean in zip(gradients, flat.split([x.numel() for x in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


class Pace:
    """Clock of a run: it saves every SAVE_EVERY_S seconds and reports every `report_every_s`.

    report  gets the rate in steps a second, and the means of what was measured since the last report.
    """

    def __init__(self, report_every_s: float, save: Callable[[], None], report: Callable[[str, str], None]):
        self._report_every_s = report_every_s
        self._save = save
        self._report = report
        self._saved = self._reported = time.monotonic()
        self._steps = 0
        self._values: dict[str, list[float]] = defaultdict(list)

    def tick(self, values: dict[str, float], last: bool = False) -> None:
        """Count a step and its measured values; report and save if it is time, or the last step."""
        self._steps += 1
        for name, value in values.items():
            self._values[name].append(value)
        now = time.monotonic()
        if last or now - self._reported > self._report_every_s:
            means = ", ".join(f"{name} {sum(found) / len(found):.3f}" for name, found in sorted(self._values.items()))
            self._report(f"{self._steps / max(now - self._reported, 1e-9):.2f}/s", means)
            self._steps = 0
            self._reported = time.monotonic()
            self._values.clear()
        if last or now - self._saved > SAVE_EVERY_S:
            self._save()
            self._saved = time.monotonic()


def read_settings(kind: type, path: Path, arguments: argparse.Namespace) -> Any:
    """Make settings of a kind: from the command line, else the checkpoint at `path`, else the defaults."""
    known = asdict(kind()) | (torch.load(path, weights_only=True)["settings"] if path.exists() else {})
    given = {field.name: getattr(arguments, field.name, None) for field in fields(kind)}
    return kind(**known | {name: value for name, value in given.items() if value is not None})
