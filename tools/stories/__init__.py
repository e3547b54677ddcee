"""Contents of the workflow files in `workflows/`, which `tools.make_workflows` writes."""

from __future__ import annotations

from .continued import continue_and_branch, live_story, picture_to_story
from .controlled import control_story
from .first import node_by_node, tiny_story
from .kinds import causal_framewise, longlive2_story
from .real import low_vram, official_story, second_device

STORIES = (
    tiny_story(),
    node_by_node(),
    continue_and_branch(),
    picture_to_story(),
    live_story(),
    control_story(),
    official_story(),
    low_vram(),
    second_device(),
    causal_framewise(),
    longlive2_story(),
)
