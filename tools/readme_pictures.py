"""Make the moving picture of the README: one story with memory and without, side by side.

    .venv/bin/python -m tools.readme_pictures

Runs workflows/tiny_story.json twice in a real ComfyUI, with the same seed and prompts, and writes docs/tiny_story.webp.
COMFYUI_PATH as for `tools.demo`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from memflow_core.render import failure
from memflow_core.schedule import ChunkGrid, Time, read_schedule

from .comfy_host import ROOT, SetupError
from .comfy_server import Server, ServerError, output_files
from .command_line import comfyui_folder, no_arguments
from .demo import read_workflow

WORKFLOW = ROOT / "workflows" / "tiny_story.json"
FILE = ROOT / "docs" / "tiny_story.webp"
SHOWN = {"Model's own": "with memory", "Window only": "without"}
SCALE, GAP, HEADER, FOOTER = 4, 8, 22, 22
EVERY = 2  # video frames a picture: 8 a second are smooth enough for cartoons, at half the bytes
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def run_with(server: Server, preset: str) -> tuple[np.ndarray, float]:
    """Run the workflow with a memory preset. Returns its video frames, uint8 [F, H, W, 3], and their rate."""
    prompt = server.convert(read_workflow(WORKFLOW))
    _node(prompt, "MemFlowMemory")["inputs"]["preset"] = preset
    history = server.run(prompt).history
    if (problem := failure(history)) is not None:
        raise ServerError(problem)
    (file,) = output_files(history, ".mp4")
    with av.open(server.path_of(file)) as container:
        rate = float(container.streams.video[0].average_rate)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]), rate


def prompts_by_frame(text: str, fps: float, frames: int) -> list[str]:
    """Return the prompt that each video frame was made under."""
    plan = read_schedule(text).place(ChunkGrid(fps=fps), Time(frames, "frames"))
    return [
        segment.prompt
        for segment in plan.segments
        for _ in range(plan.grid.px_frames(segment.start_chunk), plan.grid.px_frames(segment.end_chunk))
    ]


def side_by_side(pictures: list[np.ndarray], titles: list[str], caption: str) -> Image.Image:
    """Draw pictures of one size, uint8 [H, W, 3], enlarged and side by side, each under its title."""
    height, width = (SCALE * side for side in pictures[0].shape[:2])
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, HEADER + height + FOOTER), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left = column * (width + GAP)
        draw.text((left + width // 2, 2), title, _INK, font, anchor="ma")
        sheet.paste(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST), (left, HEADER))
    draw.text((sheet.width // 2, HEADER + height + 3), caption, _INK, font, anchor="ma")
    return sheet


def _node(prompt: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(node for node in prompt.values() if node["class_type"] == kind)


def main() -> None:
    no_arguments(__doc__)
    try:
        with tempfile.TemporaryDirectory() as base, Server(comfyui_folder(), Path(base)) as server:
            videos, rates = zip(*(run_with(server, preset) for preset in SHOWN), strict=True)
            text = _node(server.convert(read_workflow(WORKFLOW)), "MemFlowPromptSchedule")["inputs"]["prompts"]
    except (ServerError, SetupError) as error:
        sys.exit(str(error))
    captions = prompts_by_frame(text, rates[0], len(videos[0]))
    frames = [
        side_by_side([video[number] for video in videos], list(SHOWN.values()), captions[number])
        for number in range(0, len(captions), EVERY)
    ]
    FILE.parent.mkdir(exist_ok=True)
    duration = round(1000 * EVERY / rates[0])
    frames[0].save(FILE, save_all=True, append_images=frames[1:], duration=duration, loop=0, quality=70, method=4)
    print(f"{FILE}, {FILE.stat().st_size / 1e6:.1f} MB, {len(frames)} pictures")


if __name__ == "__main__":
    main()
