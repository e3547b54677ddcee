"""Workflow files of stories for the published weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from ..workflow_graph import Node, Note, WorkflowSpec
from .models import loaders, model_table
from .parts import STREAM_SIZE, schedule_node

KEEPER = "an old lighthouse keeper with a white beard, a navy blue wool sweater and a red knitted cap"
DOG = "a small brown dog with one white ear"
TOWER = "a white lighthouse on a windswept rocky island, under a pale morning sky"
STYLE = "Realistic, cinematic, soft natural light."
# like MemFlow's own prompts, every one describes its characters and the place again
SIX_PROMPTS = (
    f"{KEEPER} walks along a stone path towards {TOWER}, a brass lantern in his hand. The camera "
    "follows slowly from behind while waves break on the rocks below.",
    f"{KEEPER} stops on the stone path below {TOWER}, and kneels down as {DOG} runs up to him. He puts the brass "
    "lantern on the ground and strokes the dog, smiling.",
    f"{DOG} runs alone over the rocks below {TOWER}, chasing gulls along the water's edge. It jumps over a tide pool, "
    "stops and looks out to sea, its ears blown back by the wind.",
    f"Nobody is to be seen at {TOWER}. Gulls circle the tower, and grass bends in the wind beside the empty "
    "stone path. The camera drifts slowly from left to right.",
    f"{KEEPER} stands on the balcony of {TOWER}, looking out to sea with a hand on the iron railing. "
    "The camera circles him slowly, and the rocks and the stone path appear far below.",
    f"{KEEPER} sits on the stone path in front of {TOWER}, with {DOG} at his side and the brass "
    "lantern between them. They watch the waves together while the sun rises.",
)
OFFICIAL_FRAMES = 957  # the published length: 240 latent frames, or 59.8 s

LOW_VRAM_TEXT = f"""\
global: {STYLE}
0s: {KEEPER} walks along a stone path towards {TOWER}.
8s: {DOG} runs alone over the rocks below {TOWER}, chasing gulls.
16s: Nobody is to be seen at {TOWER}. Gulls circle the tower.
22s: {KEEPER} returns along the stone path towards {TOWER}, and {DOG} runs beside him."""


def six_prompt_script() -> str:
    """Return the story as one object of MemFlow's JSONL, with a prompt on each line."""
    prompts = [f"{STYLE} {prompt[0].upper()}{prompt[1:]}" for prompt in SIX_PROMPTS]
    return json.dumps({"prompts": prompts}, indent=1, ensure_ascii=False)


def official_story() -> WorkflowSpec:
    note = Note(
        "## The official MemFlow story\n\n"
        "One minute of six prompts at 832 x 480, with the published weights and the published memory. Download the "
        "files, press R and **Run**.\n\n"
        f"{model_table()}\n\n"
        "- **Prompt Schedule** holds a script of six prompts in MemFlow's own JSON, which spreads them "
        "evenly over the video. Every prompt says again who it is about and where: MemFlow needs that. *Convert to "
        "text* turns it into lines with times that you can drag.\n"
        "- **Memory**: *Official MemFlow* does what the published code does, quirks included; *Story* does without "
        "them.\n"
        "- Any other loader's Wan 2.1 text-to-video `MODEL` works too, if it was distilled for streaming "
        "(Self-Forcing, LongLive, Causal Forcing).\n\n"
        "base.pt is listed without a hash: none was at hand to check.",
        (40, 20),
        (540, 560),
    )
    return _workflow(
        "official_story", note, prompts=six_prompt_script(), preset="Official MemFlow", length=OFFICIAL_FRAMES
    )


def low_vram() -> WorkflowSpec:
    note = Note(
        "## For cards of 8 GB\n\n"
        "Half a minute at 832 x 480, with the model and what it remembers in FP8: **Load Model** is set to "
        "`weight_dtype` fp8, **Memory** to `cache` fp8 (advanced inputs). By the sizes of what is kept, 6.7 GB at the "
        "peak: the model 1.3, the VAE 2.0, memory 2.3 and work space 1.0 (it was not measured on such a card).\n\n"
        f"{model_table()}\n\n"
        "In this order, where it is still too much:\n\n"
        "- **Stream to Video**: width and height count most, 640 x 368 takes 4.6 GB. The length costs nothing: a "
        "minute takes as much as ten seconds.\n"
        "- **Memory**: with *Custom*, `window_size` 6 in the place of 9 saves a fifth of what is remembered, at some "
        "cost to smooth motion; then `bank_size`.\n"
        "- Other programs and the browser take VRAM too.\n\n"
        "base.pt is listed without a hash: none was at hand to check.",
        (40, 20),
        (540, 560),
    )
    in_fp8 = {"memory": {"cache": "fp8"}, "model": {"weight_dtype": "fp8"}}
    return _workflow("low_vram", note, prompts=LOW_VRAM_TEXT, preset="Story", length=477, more=in_fp8)


def second_device() -> WorkflowSpec:
    note = Note(
        "## A second GPU\n\n"
        "The official story with its text encoder and its VAE on another card: the first one has all its memory for "
        "the model and what it remembers, and samples the next chunk while the second one decodes the last.\n\n"
        f"{model_table()}\n\n"
        "- **Select VAE Device** and **Select CLIP Device** are ComfyUI's own, as is *Select Model Device*. *gpu:0* is "
        "the first card, *gpu:1* the second; *default* is where ComfyUI would put it. On a machine with one card they "
        "change nothing.\n"
        "- **Stream to Video** moves neither of them. Its line before the run tells what the VAE takes of its card, "
        "and its report whether chunks were decoded beside the sampling.\n\n"
        "base.pt is listed without a hash: none was at hand to check.",
        (40, 20),
        (540, 560),
    )
    return _workflow(
        "second_device", note, prompts=six_prompt_script(), preset="Story", length=OFFICIAL_FRAMES, second="gpu:1"
    )


def _workflow(
    name: str,
    note: Note,
    *,
    prompts: str,
    preset: str,
    length: int,
    more: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    second: str | None = None,
) -> WorkflowSpec:
    """Return a workflow at 832 x 480.

    more    further values of the nodes `memory` and `model`.
    second  device that text encoder and VAE are put on; None: where ComfyUI puts them.
    """
    model, clip, vae = loaders((620, 20), more.get("model", {}))
    loaded, selected = (model, clip, vae), ()
    if second is not None:
        clip = Node("SelectCLIPDevice", (620, 520), (400, 60), {"clip": clip["CLIP"], "device": second})
        vae = Node("SelectVAEDevice", (620, 630), (400, 60), {"vae": vae["VAE"], "device": second})
        selected = (clip, vae)
    schedule = schedule_node(clip["CLIP"], prompts, (1060, 20))
    memory = Node("MemFlowMemory", (1060, 580), (560, 178), {"preset": preset, **more.get("memory", {})})
    video = Node(
        "MemFlowStreamToVideo",
        (1660, 20),
        STREAM_SIZE,
        {
            "model": model["model"],
            "vae": vae["VAE"],
            "schedule": schedule["schedule"],
            "memory": memory["memory"],
            "width": 832,
            "height": 480,
            "length": length,
            "fps": 16.0,
            "filename_prefix": f"video/{name}",
        },
    )
    return WorkflowSpec(name, (*loaded, *selected, schedule, memory, video), (note,), scale=0.7)
