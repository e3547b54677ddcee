"""The JSONL of MemFlow's published program (arXiv 2512.14699): one story a line.

A story is `{"prompts": ["...", ...], "switch_frame_indices": [40, ...]}`. The switches are latent frames, one for each
prompt but the first (a 0 for it is accepted). Without them prompts are spread evenly. The outer braces may be missing:
programs that take braces for choices, as in `{red|blue}`, remove them on the way from a workflow file to the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ScheduleError, require, shorten, show
from .guard import count_times
from .json_text import load_json
from .schedule import PromptSchedule, Segment
from .time import Time

_WITHOUT_BRACES = re.compile(r'"prompts"\s*:\s*\[|"?prompt_map"?\s*[:=]\s*\{')
_KEYED = re.compile(r'"[A-Za-z_]\w{0,60}"\s*:')


def add_braces(text: str) -> str:
    """Put back the outer braces of a story, or of a `prompt_map`, that has lost them; any other text stays as it is."""
    keyed = _KEYED.match(text) and any(f'"{key}"' in text for key in ("prompts", "prompt_map"))
    return f"{{{text.removesuffix(',')}}}" if keyed or _WITHOUT_BRACES.match(text) else text


def split_stories(text: str) -> list[str]:
    """The lines of a JSONL with stories, spaces at its ends stripped; empty for any other text."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or not lines[0].lstrip().startswith("{"):
        return []
    try:
        first = load_json(lines[0])
    except ScheduleError:
        return []
    return lines if isinstance(first, dict) and "prompts" in first else []


def choose_story(stories: Sequence[str], line: int | None) -> str:
    """The story on a line, from 1. Raises ScheduleError where the line names none, or no line is given."""
    count = len(stories)
    require(count > 0, f"line is {show(line)}, but only a MemFlow JSONL has lines to choose from: leave it out.")
    if line is None:
        raise ScheduleError(
            f"the text holds {count} stories, one a line: set story on the node, or choose line 1 to {count}."
        )
    whole = isinstance(line, int) and not isinstance(line, bool)
    require(whole and 1 <= line <= count, f"line is {show(line)}, but must be from 1 to {count}.")
    return stories[line - 1]


def from_memflow(source: Mapping[str, Any]) -> PromptSchedule:
    """Read one story, whose `prompts` is a list. Raises ScheduleError."""
    prompts = source["prompts"]
    check_strings(prompts)
    starts = _starts(len(prompts), source.get("switch_frame_indices"))
    return PromptSchedule(tuple(Segment(start, prompt) for start, prompt in zip(starts, prompts, strict=True)))


def check_strings(prompts: Sequence[Any]) -> None:
    """Raise ScheduleError for a list of prompts in which two times stand, which would be words of the prompts."""
    timed = [(at, prompt) for at, prompt in enumerate(prompts, 1) if isinstance(prompt, str) and count_times(prompt)]
    if sum(count_times(prompt) for _, prompt in timed) > 1:
        at, prompt = timed[0]
        raise ScheduleError(
            f"prompt {at} of the list, {shorten(prompt)}, holds a time that would be words of the prompt: write "
            "each as "
            f'["3s", "a prompt"], also where the time is meant as words.'
        )


def _starts(count: int, switches: Any) -> list[Time]:
    if switches is None:
        return [Time(100 * place / count, "percent") for place in range(count)]
    require(
        isinstance(switches, (list, tuple)),
        f"switch_frame_indices is {show(switches)}, but must be a list of latent frames.",
    )
    with_first = len(switches) == count and switches[0] == 0
    require(
        with_first or len(switches) == count - 1,
        f"{count} prompts need {count - 1} switch_frame_indices, one for each but the first, but there are "
        f"{len(switches)}.",
    )
    return [Time(frame, "latent") for frame in (switches if with_first else (0, *switches))]
