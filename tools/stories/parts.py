"""What several workflows have in common."""

from __future__ import annotations

from ..workflow_graph import Node, Output

TINY = {"width": 64, "height": 64, "fps": 16.0}
SEED = 0  # a cast whose looks the tiny model keeps up all through these stories
# with room for the memory view and most of the video, which grow out of it
STREAM_SIZE = (400, 1020)
# less would be widened by the timeline
SCHEDULE_SIZE = (560, 500)
TEXT_SIZE = (300, 110)


def tiny_model(at: tuple[int, int]) -> Node:
    return Node("MemFlowTinyStory", at, (280, 66))


def text(clip: Output, words: str, at: tuple[int, int], title: str | None = None) -> Node:
    return Node("CLIPTextEncode", at, TEXT_SIZE, {"clip": clip, "text": words}, title)


def schedule(
    clip: Output, prompts: str, at: tuple[int, int], title: str | None = None, size: tuple[int, int] = SCHEDULE_SIZE
) -> Node:
    return Node("MemFlowPromptSchedule", at, size, {"clip": clip, "prompts": prompts}, title)


def tiny_video(
    tiny: Node,
    told: Output,
    name: str,
    length: int,
    at: tuple[int, int],
    size: tuple[int, int] = STREAM_SIZE,
    **values,
) -> Node:
    """MemFlow Stream to Video with the tiny model; it writes video/NAME. `values` may hold a `title`."""
    title = values.pop("title", None)
    given = {"model": tiny["model"], "vae": tiny["vae"], "schedule": told, **TINY, "seed": SEED, "length": length}
    return Node("MemFlowStreamToVideo", at, size, given | {"filename_prefix": f"video/{name}"} | values, title)
