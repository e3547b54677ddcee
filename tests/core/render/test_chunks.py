"""Chunks of the model that a story is for: parts end between them, whatever their size."""

from __future__ import annotations

from typing import Any

import pytest

from memflow_core.render import cut_job
from memflow_core.render.chunks import chunk_frames_of
from tests.core.render.test_driver import INFOS, job

KINDS = {"MemFlowLoadModel", "MemFlowProfile", "UNETLoader", "LoraLoaderModelOnly", "UnetLoaderGGUF"}
ALL = INFOS | {kind: {} for kind in KINDS}


def with_model(*nodes: tuple[str, dict[str, Any]], prompts: tuple[str, ...] = ("a", "b", "c"), **inputs) -> dict:
    """A story whose model comes from the first of some nodes through the others."""
    graph = job("x", list(prompts), **inputs).graph
    for number, (kind, values) in enumerate(nodes):
        link = {"model": [f"m{number - 1}", 0]} if number else {}
        graph[f"m{number}"] = {"class_type": kind, "inputs": values | link}
    graph["5"]["inputs"]["model"] = [f"m{len(nodes) - 1}", 0]
    return graph


def load(name: str, **more) -> tuple[str, dict[str, Any]]:
    return "MemFlowLoadModel", {"model_name": name, "lora_name": "none", **more}


LORA = ("LoraLoaderModelOnly", {"lora_name": "style.safetensors"})


@pytest.mark.parametrize(
    "nodes, frames",
    [
        ([("MemFlowTinyStory", {})], 3),
        ([load("memflow/base.pt")], 3),
        ([load("causal_forcing_framewise.pt")], 1),
        ([load("LongLive2_5B.safetensors")], 8),
        ([load("renamed.safetensors", profile="Causal Forcing, frame-wise")], 1),
        ([load("Wan2.2-TI2V-5B.safetensors", lora_name="LongLive2_lora.pt")], 8),
        ([("UNETLoader", {"unet_name": "self_forcing_dmd.safetensors"}), LORA], 3),
        ([load("memflow.pt"), ("MemFlowProfile", {"profile": "auto", "chunk_frames": 8})], 8),
        ([load("renamed.pt"), LORA, ("MemFlowProfile", {"profile": "LongLive 2", "chunk_frames": 0})], 8),
        ([load("causal_forcing_framewise.pt"), ("MemFlowProfile", {"profile": "auto"}), LORA], 1),
        # of two, the sampler sees the last
        ([load("a.pt"), ("MemFlowProfile", {"profile": "LongLive 2"}), ("MemFlowProfile", {"profile": "MemFlow"})], 3),
        # a name that says nothing may be of any kind
        ([load("renamed.safetensors")], None),
        ([load("wan2.1_t2v_1.3B.safetensors")], None),
        ([("UnetLoaderGGUF", {"unet_name": "memflow.gguf"})], None),
        ([load("memflow.pt"), ("MemFlowProfile", {"profile": "auto", "chunk_frames": ["9", 0]})], None),
        ([load(["9", 0])], None),
    ],
)
def test_chunks_follow_from_the_model_of_the_graph(nodes, frames):
    graph = with_model(*nodes)
    assert chunk_frames_of(graph, "5") == frames
    cut = cut_job(graph, ALL)
    assert ("MemFlow Model Profile" in cut.whole) == (frames is None) and bool(cut.whole) == (frames is None)


@pytest.mark.parametrize("name, frames", [("causal_forcing_framewise.pt", 1), ("LongLive2_5B.safetensors", 8)])
def test_parts_end_between_chunks_of_any_size(name, frames):
    first, others = 4 * frames - 3, 4 * frames  # video frames
    cut = cut_job(with_model(load(name)), ALL)
    ends = [part.chunks[1] for part in cut.parts]
    # prompts at 1.5 s and at 3 s take over at the first chunk that starts then or later; the story is 4.5 s
    starts = [0, *(-(-(24 * number - first) // others) + 1 for number in (1, 2))]
    assert [part.chunks[0] for part in cut.parts] == starts
    assert ends[-1] == -(-(72 - first) // others) + 1
    assert [part.prompt for part in cut.parts] == ["a", "b", "c"]


def longest(graph: dict) -> int:
    return cut_job(graph, ALL).parts[0].graph["5"]["inputs"]["length"]


def jumping(*nodes: tuple[str, dict[str, Any]], length: int) -> dict:
    graph = with_model(*nodes, length=length)
    graph["3"]["inputs"]["prompts"] = "0s: a\n1.5s [jump]: b"
    return graph


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_the_length_of_a_part_leaves_positions_as_the_whole_story_has_them(frames):
    model = [("MemFlowTinyStory", {}), ("MemFlowProfile", {"chunk_frames": frames})]
    chunks = 1024 // frames
    within, beyond = (4 * frames * count - 3 for count in (chunks, chunks + 1))
    assert longest(with_model(*model, length=within)) == within
    assert longest(with_model(*model, length=beyond)) > 900_000
    # each jump moves positions on by 8 latent frames
    assert longest(jumping(*model, length=within)) > 900_000
    shorter = 4 * frames * ((1024 - 8) // frames) - 3
    assert longest(jumping(*model, length=shorter)) == shorter


def test_a_fresh_prompt_leaves_positions_as_the_whole_story_has_them():
    """Of a story of 500 chunks of 3 latent frames, of which no part reaches 1024, every part is placed absolutely."""
    fresh = 267  # the chunk that starts at 200 s or later
    graph = with_model(("MemFlowTinyStory", {}), length=12 * 500 - 3)
    graph["3"]["inputs"]["prompts"] = "0s: a\n200s [fresh]: b"
    parts = cut_job(graph, ALL).parts
    chunks = [
        (part.graph["5"]["inputs"]["length"] + (3 if number == 0 else 0)) // 12 + part.chunks[0]
        for number, part in enumerate(parts)
    ]
    firsts = [part.chunks[0] for part in parts]
    assert fresh in firsts and parts[-1].chunks[1] == 500
    for first, reached in zip(firsts, chunks, strict=True):
        # what the text of the part does not end is placed as far as absolute positions reach
        assert reached == (341 if first < fresh else fresh + 341)
