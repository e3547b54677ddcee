"""Replay whole recorded runs: the same prompts and noise through a `Stream`."""

from __future__ import annotations

import json

import torch

from memflow_core.memory import Trace
from memflow_core.schedule import ChunkGrid, PromptSchedule, Segment, Time
from memflow_core.stream import Stream, denoising_timesteps

from .case import Case, Check, RecordedNoise


def segment_starts(case: Case) -> dict[int, str]:
    """Return the prompt that starts at each chunk, by the published rule: one switch a chunk start, the others wait."""
    starts = [0, *case.info["switch_frame_indices"]]
    segments = tuple(
        Segment(Time(start, "latent"), name) for start, name in zip(starts, case.info["segments"], strict=True)
    )
    grid = ChunkGrid(case.sampling.chunk_frames)
    plan = PromptSchedule(segments).place(grid, Time(case.info["frames"], "latent"), collisions="defer")
    return {placed.start_chunk: placed.prompt for placed in plan.segments}


def replay(case: Case, check: Check) -> None:
    inputs, chunks = case.load(case.info["files"]["inputs"]), case.info["frames"] // case.sampling.chunk_frames
    noise = RecordedNoise(inputs["noise"], inputs["renoise"])
    stream = Stream(
        case.backbone(case.load(case.info["files"]["weights"])),
        case.shape(case.info["batch"]),
        memory=case.memory,
        sampling=case.sampling,
        noise=noise,
        frames=case.info["frames"],
    )
    starts, made = segment_starts(case), []
    for chunk in range(chunks):
        if chunk in starts:
            stream.set_prompt(inputs[starts[chunk]])
        made.append(next(stream).latents)
    stable = "latents_stable_ties" in case.tensors
    golden = case.tensors["latents_stable_ties" if stable else "latents"]
    check.close("latents", torch.cat(made, dim=2).transpose(1, 2), golden)
    timesteps = torch.tensor(denoising_timesteps(case.sampling))
    if "denoising_timesteps_used" in case.info:
        check.close("timesteps", timesteps, torch.tensor(case.info["denoising_timesteps_used"]), 1e-3)
    if "trace_file" in case.info:
        compare_decisions(case, stream.trace, check, until_tie=stable)


def frame_of(label: str) -> int:
    """Return the latent frame of a slot label; '15r18' is frame 15, recomputed at 18."""
    return int(label.split("r")[0])


def compare_decisions(case: Case, trace: Trace, check: Check, until_tie: bool) -> None:
    """Compare which frame stands in which slot, per layer and batch item, after every bank update.

    Recordings with `latents_stable_ties` were traced with another rule for ties, so theirs are compared up to the
    first tie.
    """
    calls = json.loads(case.path.with_name(case.info["trace_file"]).read_text())["calls"]
    recorded = [
        call["bank_update"]["layers"]
        for call in calls
        if call.get("bank_update") and call["bank_update"]["layers"][0]["action"] != "none"
    ]
    ours = [record["after"] for record in trace.records if record["event"] == "retrieve"]
    if not until_tie:
        check.equal("number of bank updates", len(ours), len(recorded))
    for update, (mine, layers) in enumerate(zip(ours, recorded, strict=False)):
        if until_tie and layers[0]["action"] == "compress" and layers[0].get("text_k_is_zero"):
            return
        labels = [[[frame_of(label) for label in slots] for slots in layer["slots_after"]] for layer in layers]
        check.equal(f"bank after update {update}", mine, labels)
