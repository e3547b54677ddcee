"""The widget `steps`: timesteps, or a number of steps as other samplers have it."""

from __future__ import annotations

import re

from ...memflow_core.schedule import shorten
from .messages import Message, message

MOST_STEPS = 50  # a single number up to here counts steps
NOISE = 1000  # the timestep of pure noise, which every chunk starts from
_WHOLE = re.compile(r"[0-9]{1,9}(?:\.0{1,9})?")
EXAMPLE = "1000, 750, 500, 250"


def parse_steps(text: str) -> tuple[int, ...]:
    """Parse denoising steps: '1000, 750, 500, 250' -> (1000, 750, 500, 250); '4', a number of steps -> the same.

    A whole number may end in `.0`. Raises ValueError for a part that is none, and for steps that would begin far from
    noise.
    """
    numbers = _numbers(text)
    if len(numbers) == 1 and numbers[0] <= MOST_STEPS:
        return evenly(_count(numbers[0]))
    if numbers and max(numbers) <= NOISE // 2:
        raise ValueError(
            f"denoising steps are {shorten(text)}, but a chunk starts from noise, at {NOISE}: write timesteps as "
            f"{EXAMPLE}, or how many steps there are to be, up to {MOST_STEPS}."
        )
    return numbers


def evenly(count: int) -> tuple[int, ...]:
    """So many timesteps, evenly spaced from 1000 down: 4 -> (1000, 750, 500, 250)."""
    return tuple(round(NOISE * (count - number) / count) for number in range(count))


def count_message(text: str) -> Message | None:
    """What a number of steps was read as; None for timesteps."""
    numbers = _numbers(text)
    if len(numbers) != 1 or numbers[0] > MOST_STEPS:
        return None
    return message("steps {0} is read as a number of steps: {1}.", numbers[0], ", ".join(map(str, parse_steps(text))))


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part for part in text.replace(",", " ").split() if part]
    for part in parts:
        if not _WHOLE.fullmatch(part):
            raise ValueError(
                f"denoising steps are {shorten(text)}, but {shorten(part)} is no whole number: write them as {EXAMPLE}."
            )
    return tuple(int(part.partition(".")[0]) for part in parts)


def _count(number: int) -> int:
    if not number:
        raise ValueError(
            f"denoising steps are 0, but a chunk takes at least one: write timesteps as {EXAMPLE}, or a number of "
            f"steps from 1 to {MOST_STEPS}."
        )
    return number
