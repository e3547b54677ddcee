"""Tell from a graph how many latent frames its model makes at a time, by the profile that it will have."""

from __future__ import annotations

from typing import Any

from ..profiles import AUTO, PROFILES, Picked, pick, signs_of_name
from .convert import Graph, is_link

TINY, LOAD, PROFILE = "MemFlowTinyStory", "MemFlowLoadModel", "MemFlowProfile"
# loaders whose file's name stands for a profile, as the sampler sees it, and the input that has the name
LOADERS = {LOAD: "model_name", "UNETLoader": "unet_name"}
# a profile that follows from sizes or metadata is known only when the file is read
CERTAIN = ("name", "user")


def chunk_frames_of(graph: Graph, stream: str) -> int | None:
    """Latent frames of a chunk of the model that a sampler is linked to; None where that shows only when it is loaded.

    stream  id of the sampler.
    """
    seen: set[str] = set()
    link = graph[stream]["inputs"].get("model")
    while is_link(link) and link[0] in graph and link[0] not in seen:
        seen.add(link[0])
        node = graph[link[0]]
        kind, inputs = node["class_type"], node["inputs"]
        if kind == PROFILE:
            frames, name = inputs.get("chunk_frames", 0), inputs.get("profile", AUTO)
            if frames or name != AUTO:
                return _of_profile(frames, name)
        elif kind == TINY or kind in LOADERS:
            return _of_loader(kind, inputs)
        # a LoRA, a patch
        link = inputs.get("model")
    return None


def _of_profile(frames: Any, name: Any) -> int | None:
    """Frames of a MemFlow Model Profile that sets them, or names a profile; None for values that come over links."""
    if is_link(frames) or not isinstance(name, str):
        return None
    if frames:
        return int(frames)
    return PROFILES[name].sampling.chunk_frames if name in PROFILES else None


def _of_loader(kind: str, inputs: dict[str, Any]) -> int | None:
    picked = Picked(PROFILES["Tiny story model"], "name") if kind == TINY else _picked(kind, inputs)
    return picked.profile.sampling.chunk_frames if picked is not None and picked.why in CERTAIN else None


def _picked(kind: str, inputs: dict[str, Any]) -> Picked | None:
    name, lora, chosen = inputs.get(LOADERS[kind]), inputs.get("lora_name", ""), inputs.get("profile", AUTO)
    if not all(isinstance(value, str) for value in (name, lora, chosen)):
        return None
    if chosen in PROFILES:
        return Picked(PROFILES[chosen], "user")
    try:
        return pick(signs_of_name(str(name), "" if lora == "none" else str(lora)), str(chosen))
    except ValueError:
        # the loader refuses it, in its own words
        return None
