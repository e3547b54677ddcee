"""Measure what a change of each prompt of a story costs: python -m benchmarks.edit [--steps S]

Runs the workflow file in a real ComfyUI, then once for each of its prompts with that prompt changed, and prints the
time of that second run over the time of the first, and the share of chunks that it made. The model is loaded before:
a short run comes first. Every run is one over the API; the clock is that of the wall, from queueing to the end.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from memflow_core.render import failure
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from tools.comfy_host import ROOT, SetupError
from tools.comfy_server import Server
from tools.command_line import comfyui_folder

from .machine import conditions

WORKFLOW = ROOT / "workflows" / "tiny_story.json"
FILM, SCHEDULE = "MemFlowStreamToVideo", "MemFlowPromptSchedule"
SEED, BUDGET_GB = 15, 4.0
# put in the place of a prompt's words; each is a prompt of the tiny story model
OTHERS = (
    "a cat waves in the city",
    "a ghost waves on the beach",
    "a robot waves in the snow",
    "a bird waves in the city",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflow", type=Path, default=WORKFLOW, help="with one schedule and one film (tiny_story)")
    parser.add_argument("--steps", help="denoising steps in the place of the file's")
    parser.add_argument("--json", type=Path, help="write the table here, too")
    given = parser.parse_args()
    try:
        comfyui = comfyui_folder()
    except SetupError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as base, Server(comfyui, Path(base)) as server:
        prompt = server.convert(json.loads(given.workflow.read_text()))
        machine = conditions(torch.device("cpu")) | {"clock": "wall"}
        table = {"conditions": machine, **measure(server, prompt, given.steps)}
    text = json.dumps(table, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


def measure(server: Server, prompt: dict[str, Any], steps: str | None) -> dict[str, Any]:
    """Run a story, and again with each of its prompts changed; returns seconds, ratios and shares."""
    film, schedule = _inputs(prompt, FILM), _inputs(prompt, SCHEDULE)
    film |= {"seed": SEED, "keep_moments_gb": BUDGET_GB, **({"steps": steps} if steps else {})}
    text = schedule["prompts"]
    warm = copy.deepcopy(prompt)
    _inputs(warm, FILM).update(length=9, keep_moments_gb=0.0)
    _run(server, warm)
    first_s, chunks = _run(server, prompt)
    rows = []
    for number in range(len(read_schedule(text).segments)):
        changed = copy.deepcopy(prompt)
        _inputs(changed, SCHEDULE)["prompts"] = with_changed(text, number)
        second_s, made = _run(server, changed)
        rows.append(
            {
                "prompt": number + 1,
                "starts_s": _start_s(text, number, film),
                "seconds": round(second_s, 1),
                "time_over_first": round(second_s / first_s, 2),
                "chunks_over_first": round(made / chunks, 2),
            }
        )
    return {"steps": film["steps"], "first_s": round(first_s, 1), "chunks": chunks, "changes": rows}


def with_changed(text: str, number: int) -> str:
    """A schedule's text with other words for one of its prompts, counted from 0, on one line each."""
    prompts = [segment.prompt for segment in read_schedule(text).segments]
    old = prompts[number]
    # the same as its neighbour's would only go on with that
    new = next(other for other in OTHERS if other not in prompts[max(0, number - 1) : number + 2])
    places = [place for place, line in enumerate(text.splitlines()) if line.rstrip().endswith(f": {old}")]
    segments = [at for at, prompt in enumerate(prompts) if prompt == old]
    lines = text.splitlines()
    place = places[segments.index(number)]
    lines[place] = f"{lines[place].rstrip().removesuffix(old)}{new}"
    return "\n".join(lines)


def _start_s(text: str, number: int, film: dict[str, Any]) -> float:
    grid = ChunkGrid(fps=film["fps"])
    plan = read_schedule(text).place(grid, Time(grid.chunks_for_px(film["length"]), "chunks"))
    return round(grid.start_s(plan.segments[number].start_chunk), 2)


def _run(server: Server, prompt: dict[str, Any]) -> tuple[float, int]:
    """Seconds, and how many chunks were made."""
    start = time.perf_counter()
    run = server.run(prompt)
    seconds = time.perf_counter() - start
    if (problem := failure(run.history)) is not None:
        raise RuntimeError(problem)
    events = [event["data"] for event in run.events if event["type"] == "memflow.chunk"]
    return seconds, sum(not data.get("kept") for data in events)


def _inputs(prompt: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [node["inputs"] for node in prompt.values() if node["class_type"] == kind]
    return found


if __name__ == "__main__":
    main()
