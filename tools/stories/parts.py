"""Nodes and sizes that several workflows share."""

from __future__ import annotations

from ..workflow_graph import Node, Output

# ComfyUI fits a graph to three quarters of the window, and LiteGraph draws text from 60 % on: that is 1580 x 880 at
# 1280 x 720, and 1980 x 1100 at 1600 x 900. Nodes lie 20 apart as Nodes 2.0 draws them, which is up to 60 px higher

TINY = {"width": 64, "height": 64, "fps": 16.0}
SEED = 0  # its characters keep their looks all through these stories
# with room for the film, which takes what the node's other parts leave
STREAM_SIZE = (600, 804)
# beside other columns
NARROW_STREAM_SIZE = (450, 760)
SCHEDULE_SIZE = (520, 500)
# a node in a column of small ones; Nodes 2.0 draws a memory node some 60 px higher than LiteGraph
COLUMN = 280
MEMORY_SIZE = (COLUMN, 120)
TEXT_SIZE = (300, 110)
# stories for real weights: a column of notes and loaders, and where the two others begin
LOADER_COLUMN, MIDDLE, RIGHT = 440, 500, 1020


def tiny_model_node(at: tuple[int, int]) -> Node:
    return Node("MemFlowTinyStory", at, (COLUMN, 66))


def memory_node(at: tuple[int, int]) -> Node:
    """MemFlow Memory as it is best for the tiny model."""
    return Node("MemFlowMemory", at, MEMORY_SIZE, {"preset": "Model's own"})


def text_node(clip: Output, words: str, at: tuple[int, int], title: str | None = None) -> Node:
    return Node("CLIPTextEncode", at, TEXT_SIZE, {"clip": clip, "text": words}, title)


def schedule_node(
    clip: Output, prompts: str, at: tuple[int, int], title: str | None = None, size: tuple[int, int] = SCHEDULE_SIZE
) -> Node:
    return Node("MemFlowPromptSchedule", at, size, {"clip": clip, "prompts": prompts}, title)


def tiny_video_node(
    tiny: Node,
    schedule: Output,
    *,
    name: str,
    length: int,
    at: tuple[int, int],
    size: tuple[int, int] = STREAM_SIZE,
    **values,
) -> Node:
    """Return MemFlow Stream to Video with the tiny model, which writes video/NAME.

    values  further inputs, and a `title`.
    """
    title = values.pop("title", None)
    inputs = {"model": tiny["model"], "vae": tiny["vae"], "schedule": schedule, **TINY, "seed": SEED, "length": length}
    return Node("MemFlowStreamToVideo", at, size, inputs | {"filename_prefix": f"video/{name}"} | values, title)
