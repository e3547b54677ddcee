"""The UniPC path: its levels, what it is exact for, and its order."""

from __future__ import annotations

import math

import pytest
import torch

from memflow_core.config import SamplingConfig
from memflow_core.stream import denoising_timesteps
from memflow_core.stream.unipc import UniPC, unipc_sigmas

FOUR = (1000, 750, 500, 250)


def test_levels_are_those_of_the_published_schedule():
    assert denoising_timesteps(SamplingConfig(steps=FOUR, solver="unipc")) == [999.0, 937.0, 833.0, 624.0]
    assert denoising_timesteps(SamplingConfig(steps=(1000, 500), solver="unipc")) == [999.0, 833.0]
    assert unipc_sigmas(FOUR, 5.0) == pytest.approx([0.9998, 0.93727, 0.83306, 0.62469], abs=1e-5)


def walk(sigmas: list[float], x: torch.Tensor, x0_of) -> torch.Tensor:
    path = UniPC(sigmas)
    for number, sigma in enumerate(sigmas):
        x = path.step(number, x, (x - x0_of(x, sigma)) / sigma)
    return x


def test_a_model_that_knows_the_picture_gives_it_whatever_the_steps():
    picture = torch.randn(1, 2, 3, 4, 4, dtype=torch.float64)
    noise = torch.randn_like(picture)
    for steps in ((1000,), (1000, 500), FOUR):
        made = walk(unipc_sigmas(steps, 5.0), noise, lambda x, sigma: picture)
        assert torch.allclose(made, picture, atol=1e-12)


def gaussian(x: torch.Tensor, sigma: float, spread: float = 0.7) -> torch.Tensor:
    """The best estimate of a Gaussian picture of that spread from x = (1 - sigma) picture + sigma noise."""
    clean = 1 - sigma
    return x * clean * spread**2 / (clean**2 * spread**2 + sigma**2)


def exact(x: torch.Tensor, start: float, end: float, spread: float = 0.7) -> torch.Tensor:
    """Where the path of that model leads from level `start` to level `end`: the standard deviation grows along."""

    def deviation(sigma: float) -> float:
        return math.sqrt((1 - sigma) ** 2 * spread**2 + sigma**2)

    return x * deviation(end) / deviation(start)


def test_errors_fall_with_the_square_of_the_steps_at_least():
    x = torch.randn(64, dtype=torch.float64)
    errors = []
    for count in (8, 16, 32):
        sigmas = [0.9 - (0.9 - 0.2) * step / count for step in range(count)] + [0.2]
        path, y = UniPC(sigmas), x
        for number in range(count):
            y = path.step(number, y, (y - gaussian(y, sigmas[number])) / sigmas[number])
        errors.append(float((y - exact(x, 0.9, 0.2)).abs().max()))
    assert errors[0] / errors[1] > 3.4 and errors[1] / errors[2] > 3.4
    assert errors[2] < 1e-3


def test_a_chunk_of_a_stream_takes_one_draw_and_the_same_path(backbone, prompt):
    from memflow_core.config import LatentShape, MemoryConfig
    from memflow_core.stream import SeededNoise, Stream

    drawn = []

    class Counted(SeededNoise):
        def chunk(self, index):
            draw = super().chunk(index)
            return lambda shape: (drawn.append(index), draw(shape))[1]

    stream = Stream(
        backbone,
        LatentShape(4, 6),
        memory=MemoryConfig(),
        sampling=SamplingConfig(solver="unipc"),
        noise=Counted(5),
        frames=30,
    )
    stream.set_prompt(prompt(0))
    made = [next(stream) for _ in range(3)]
    assert drawn == [0, 1, 2]
    assert all(bool(torch.isfinite(chunk.latents).all()) for chunk in made)
