"""A graph of a story as ComfyUI's API takes it, and its node's values."""

from __future__ import annotations

import copy
from typing import Any

GHOSTS = """0s: a robot walks in the meadow
1.5s: an empty beach
3s [blend 2]: a ghost waits on the beach
4.5s [cut]: a cat stands in the city"""
# for runs whose pictures nobody looks at
QUICK = {"seed": 7, "width": 32, "height": 32, "length": 93, "fps": 16.0, "steps": "1000", "shift": 5.0}
GRAPH = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "wan.safetensors", "weight_dtype": "default"}},
    "2": {"class_type": "CLIPLoader", "inputs": {"clip_name": "umt5.safetensors", "type": "wan"}},
    "3": {"class_type": "VAELoader", "inputs": {"vae_name": "vae.safetensors"}},
    "4": {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["1", 0], "lora_name": "a", "strength_model": 1.0}},
    "5": {"class_type": "MemFlowPromptSchedule", "inputs": {"clip": ["2", 0], "prompts": "a robot", "story": 1}},
    "6": {"class_type": "MemFlowMemory", "inputs": {"preset": "Story"}},
    "4:9": {
        "class_type": "MemFlowStreamToVideo",
        "inputs": {
            **{"model": ["4", 0], "vae": ["3", 0], "schedule": ["5", 0], "memory": ["6", 0]},
            **{"seed": 5, "width": 64, "height": 64, "length": 81, "fps": 16.0, "steps": "1000", "shift": 5.0},
            **{"filename_prefix": "video", "format": "mp4 (h264)", "quality": "high", "save_output": True},
        },
    },
}
NODE = "4:9"


def graph_of(values: dict[str, Any]) -> dict[str, Any]:
    """The graph with other values of its sampling node."""
    return {**GRAPH, NODE: {**GRAPH[NODE], "inputs": {**GRAPH[NODE]["inputs"], **values}}}


def steered(*controls: dict[str, Any], graph: dict[str, Any] = GRAPH) -> dict[str, Any]:
    """A graph under controls that follow one another: values of their nodes."""
    graph = {**copy.deepcopy(graph), "8": {"class_type": "LoadVideo", "inputs": {"file": "dance.mp4"}}}
    usual = {"vae": ["3", 0], "pictures": ["8", 0], "strength": 1.0, "start": "0s", "end": "", "use": "steer"}
    before = None
    for number, values in enumerate(controls):
        link = {} if before is None else {"control": before}
        graph[f"c{number}"] = {"class_type": "MemFlowControl", "inputs": {**usual, **link, **values}}
        before = [f"c{number}", 0]
    if before is not None:
        graph[NODE]["inputs"]["control"] = before
    return graph
