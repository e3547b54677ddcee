"""Settings of how a chunk is denoised, and of how a prompt takes over."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from .require import require, require_int

SWITCHES = ("recache", "soft", "cut", "blend", "jump", "fresh")
SOLVERS = ("renoise", "unipc")
BLEND_PATHS = ("linear", "spherical")


@dataclass(frozen=True)
class SamplingConfig:
    """How one chunk is denoised (arXiv 2512.14699, section 4.1; the defaults are those of the released 1.3B model).

    steps          denoising steps on the 1000-step training grid, first to last.
    shift          flow-matching timestep shift.
    warp           map the steps through the shifted schedule; False uses the integers as timesteps.
    context_noise  timestep of the passes that write clean K/V: the context pass and a recache.
    chunk_frames   latent frames made together.
    first_steps    steps of the first chunk, where it has a list of its own; empty: those of every chunk.
    solver         one of SOLVERS. `renoise`: each step estimates the clean chunk and noises it again, as Self-Forcing
                   does. `unipc`: one path from noise to picture (UniPC of order 2), as LongLive 2's program takes.
    refresh        before every chunk, compute the keys of sink and window anew from their latents, all of them seeing
                   one another, as Krea Realtime does.

    Raises ValueError for values that are out of range.
    """

    steps: tuple[int, ...] = (1000, 750, 500, 250)
    shift: float = 5.0
    warp: bool = True
    context_noise: float = 0.0
    chunk_frames: int = 3
    first_steps: tuple[int, ...] = ()
    solver: str = "renoise"
    refresh: bool = False

    def __post_init__(self) -> None:
        require(len(self.steps) > 0, "the step list is empty: give at least one denoising step, for example 1000.")
        for steps in (self.steps, self.first_steps):
            for step in steps:
                require_int("a denoising step", step, 0, 1000)
            falling = all(a > b for a, b in pairwise(steps))
            require(
                falling,
                f"denoising steps {list(steps)} must fall from noise to picture, for example 1000, 750, 500, 250.",
            )
        require(self.solver in SOLVERS, f"solver is {self.solver!r}, but must be one of {', '.join(SOLVERS)}.")
        require(self.shift > 0, f"shift is {self.shift!r}, but must be above 0.")
        require(
            0 <= self.context_noise < 1000,
            f"context_noise is {self.context_noise!r}, but must be from 0 to below 1000.",
        )
        require_int("chunk_frames", self.chunk_frames, 1)

    def first_step(self, chunk: int, strength: float) -> int:
        """The step that a chunk begins at which is made from given latents: the first one where their strength is 0,
        the last one where it is 1."""
        return int(strength * (len(self.steps_of(chunk)) - 1) + 0.5)

    def steps_of(self, chunk: int) -> tuple[int, ...]:
        """Denoising steps of a chunk by its number in the story, which begins anew at a `fresh` prompt."""
        return self.first_steps or self.steps if chunk == 0 else self.steps


def check_switch(switch: str, blend_chunks: int, blend_path: str) -> None:
    """Raise ValueError unless a prompt can take over by these settings: one of SWITCHES, and those of a blend."""
    require(switch in SWITCHES, f"switch is {switch!r}, but must be one of {', '.join(SWITCHES)}.")
    require_int("the number of chunks that a blend takes", blend_chunks, 1)
    require(blend_path in BLEND_PATHS, f"blend path is {blend_path!r}, but must be one of {', '.join(BLEND_PATHS)}.")
