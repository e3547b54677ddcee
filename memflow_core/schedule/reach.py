"""How far absolute positions reach in a story: jumps move them on, and a fresh prompt begins anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .grid import ChunkGrid

if TYPE_CHECKING:
    from .schedule import PromptSchedule

# the switches after which positions are others
JUMP, FRESH = "jump", "fresh"


def changes_of(prompts: PromptSchedule, grid: ChunkGrid, chunks: int) -> list[tuple[int, str]]:
    """(first chunk, switch) of every segment of a schedule but the first. chunks: how long the story is."""
    return [
        (grid.chunk_at_or_after_px(grid.px_of(segment.start, chunks)), segment.switch)
        for segment in prompts.segments[1:]
    ]


def farthest_position(
    changes: Iterable[tuple[int, str]],
    chunks: int,
    *,
    chunk_frames: int,
    shot_offset: int,
    began: int = 0,
    jumps: int = 0,
) -> int:
    """Latent frames that absolute positions have to reach in a story of so many chunks.

    changes       (first chunk, switch) of the prompts that take over, in order. Jumps beyond the end count, too.
    shot_offset   latent frames by which a jump moves positions on.
    began, jumps  latent frame at which the present story began, and how often it has jumped since, before them all.
    """
    most = 0
    for start, switch in changes:
        if switch == JUMP:
            jumps += 1
        elif switch == FRESH and start < chunks:
            most = max(most, start * chunk_frames - began + jumps * shot_offset)
            began, jumps = start * chunk_frames, 0
    return max(most, chunks * chunk_frames - began + jumps * shot_offset)
